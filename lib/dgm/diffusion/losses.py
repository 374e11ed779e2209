r"""What a diffusion network is trained on: a squared error, and the weights that make it the bound or not.

Every loss returns (B,), summed over the dimensions; the caller draws t and eps, and takes the mean.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm.diffusion.bound import decoder_log_prob
from dgm.diffusion.predictions import convert, training_target
from dgm.diffusion.process import posterior, posterior_coefficients, q_sample, step_before, transition
from dgm.diffusion.reverse import learned_logvar, split_outputs
from dgm.diffusion.schedule import DiscreteSchedule, Schedule, exact
from dgm.prob import kl_gaussians
from dgm.tensor import check_shape, expand_to, sum_except_batch

FORMS = ("mean", "x0", "eps", "v")


def simple_loss(
    network: Callable[..., Tensor],
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
    schedule: Schedule,
    *,
    predicts: str = "eps",
    y: Tensor | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    r"""Squared error of a network's prediction at x_t.

    $w_t \lVert \varepsilon - \hat\varepsilon(x_t, t) \rVert^2$ with $w_t = 1$ and
    $x_t = \alpha_t x_0 + \sigma_t \varepsilon$; likewise for x0, v and the score (a sum over dimensions, not
    a mean).

    Args:
        network: (x_t (B, ...), t (B,)) -> prediction (B, ...), or (x_t, t, y) where `y` is given.
        x0: (B, ...) data.
        t: (B,) times, drawn by the caller: `draw_steps`.
        eps: (B, ...) noise, drawn by the caller: `dgm.tensor.randn_like`.
        schedule: of the noise.
        predicts: "x0", "eps", "v" or "score".
        y: (B,) labels for the network.
        weight: (B,) of the squared error, such as `variational_weight`; 1 when None.

    Returns:
        (B,), nats where the weight is variational.

    Raises:
        ValueError: if shapes do not fit, that of the network's output included.

    Source: Ho, Jain & Abbeel 2020, section 3.4.
    Equation: diff-simple
    Test: tests/equations/test_diffusion.py::test_simple_loss_of_the_best_network_is_the_conditional_variance
    """
    x_t = q_sample(x0, t, eps, schedule)
    prediction = network(x_t, t) if y is None else network(x_t, t, y)
    if prediction.shape != x_t.shape:
        raise ValueError(
            f"the network must return the shape of x_t, {tuple(x_t.shape)}, got {tuple(prediction.shape)}"
        )
    loss = sum_except_batch((training_target(predicts, x0, t, eps, schedule) - prediction).square())  # (B,)
    if weight is None:
        return loss
    check_shape("weight", weight, (len(x0),), "give one weight per example")
    return weight.to(device=loss.device, dtype=loss.dtype) * loss


def variational_weight(t: Tensor, schedule: Schedule, form: str, *, variance: str = "small") -> Tensor:
    r"""The weight with which a squared error is the bound's KL of one step: $w \lVert \text{error} \rVert^2$.

    mean: $\frac{1}{2 \sigma^2}$ with the reverse step's variance; x0, with the small one:
    $\tfrac12 (\mathrm{SNR}(t-1) - \mathrm{SNR}(t))$; eps: that times $\sigma_t^2 / \alpha_t^2$, together
    $\frac{\beta_t^2}{2 \sigma^2 \alpha_t (1 - \bar\alpha_t)}$; v: that of x0 times $\sigma_t^2$ (divided by
    $(\alpha_t^2 + \sigma_t^2)^2$ where that is not 1). With the large variance the KL has a constant beside
    it.

    Args:
        t: (B,) steps in 1..T.
        schedule: of the noise.
        form: what the error is in: "mean" (of the reverse step), "x0", "eps" or "v".
        variance: of the reverse step: "small" (the posterior's: infinite weight at t = 1) or "large".

    Returns:
        (B,) float64, nats per squared unit of the error.

    Raises:
        ValueError: on another form or variance.

    Source: Ho, Jain & Abbeel 2020, section 3.2; in terms of the SNR, Kingma et al. 2021.
    Equation: diff-kl-mean, diff-kl-x0, diff-kl-eps, diff-kl-v, guide-loss
    Test: tests/equations/test_diffusion.py::test_kl_is_an_error_of_the_velocity,
        tests/equations/test_guidance.py::test_ddpms_member_has_the_bounds_weight
    """
    if variance not in ("small", "large"):
        raise ValueError(f'variance must be "small" or "large", got {variance!r}')
    s = step_before(t, schedule)
    _, from_data, small = posterior_coefficients(t, s, schedule)
    of_mean = 0.5 / (small if variance == "small" else transition(t, s, schedule)[1])
    if form == "mean":
        return of_mean
    return of_mean * from_data.square() / _per_x0(t, schedule, form)


def min_snr_weight(t: Tensor, schedule: Schedule, form: str, gamma: float = 5.0) -> Tensor:
    r"""A weight that follows the SNR up to a limit, so that no range of t rules the gradient.

    $\min(\mathrm{SNR}(t), \gamma)$ on the squared error of x0, hence $\min(\mathrm{SNR}, \gamma) /
    \mathrm{SNR}$ on that of eps and $\min(\mathrm{SNR}, \gamma) / (\mathrm{SNR} + 1)$ on that of v.

    Args:
        t: (B,) times.
        schedule: of the noise.
        form: what the error is in: "x0", "eps" or "v".
        gamma: the limit.

    Returns:
        (B,) float64.

    Raises:
        ValueError: on another form, or a gamma that is not positive.

    Source: Hang et al. 2023, section 3.4.
    """
    if gamma <= 0:
        raise ValueError(f"gamma must be positive, got {gamma}; 5 is the paper's")
    if form == "mean":
        raise ValueError('form must be one of x0, eps, v, got "mean"')
    t = exact(t)
    return schedule.snr(t).clamp(max=gamma) / _per_x0(t, schedule, form)


def hybrid_loss(
    network: Callable[..., Tensor],
    x0: Tensor,
    t: Tensor,
    eps: Tensor,
    schedule: DiscreteSchedule,
    *,
    predicts: str = "eps",
    y: Tensor | None = None,
    vlb_weight: float = 0.001,
    levels: int | None = None,
) -> Tensor:
    r"""The simple loss for the mean, and a little of the bound for the learned variance.

    $L_{\text{simple}} + \lambda L_{\text{vlb}}$, where $L_{\text{vlb}}$ is estimated by T times the bound's
    term of the one step t (the decoder's at t = 1), and its gradient does not reach the mean.

    Args:
        network: (x_t (B, C, ...), t (B,)) -> (B, 2C, ...), or (x_t, t, y) where `y` is given.
        x0: (B, C, ...) data.
        t: (B,) steps in 1..T.
        eps: (B, C, ...) noise.
        schedule: of the noise.
        predicts: kind of the first C channels: "x0", "eps", "v" or "score".
        y: (B,) labels for the network.
        vlb_weight: lambda.
        levels: number of grey levels that x0 in [-1, 1] has; None for real data.

    Returns:
        (B,), a sum over dimensions.

    Source: Nichol & Dhariwal 2021, section 3.1.
    Equation: diff-hybrid
    Test: tests/equations/test_diffusion.py::test_hybrid_loss_teaches_the_mean_by_the_simple_part_alone
    """
    x_t = q_sample(x0, t, eps, schedule)
    out = network(x_t, t) if y is None else network(x_t, t, y)
    prediction, fraction = split_outputs(out, x_t)
    simple = sum_except_batch((training_target(predicts, x0, t, eps, schedule) - prediction).square())
    with torch.no_grad():
        x0_hat = convert(prediction, x_t, t, schedule, predicts, "x0")
        mean = posterior(x_t, t, x0_hat, schedule)[0]
        true_mean, true_var = posterior(x_t, t, x0, schedule)
    logvar = learned_logvar(fraction, t, schedule)
    first = t == 1
    # Where t = 1 the true variance is 0 and the KL infinite: a harmless 1 there, and its KL is not used.
    true_logvar = expand_to(torch.where(first, 1.0, true_var).log(), x0)
    kl = kl_gaussians(true_mean, true_logvar, mean, logvar)  # (B,)
    vlb = torch.where(first, -decoder_log_prob(x0, mean, logvar, levels), kl)
    return simple + vlb_weight * schedule.T * vlb


def _per_x0(t: Tensor, schedule: Schedule, form: str) -> Tensor:
    """Squared error in `form` over the squared error in x0, (B,): both at the same x_t."""
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    alpha, sigma = schedule.alpha(exact(t)), schedule.sigma(exact(t))
    if form == "x0":
        return torch.ones_like(alpha)
    if form == "eps":
        return (alpha / sigma).square()
    return ((alpha.square() + sigma.square()) / sigma).square()
