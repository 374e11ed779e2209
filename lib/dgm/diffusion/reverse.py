r"""One step of the reverse process: the mean and the variance of p(x_s | x_t) that a denoiser gives.

The mean is that of the posterior q(x_s | x_t, x_0) with x0_hat in the place of x_0. For the variance there
are three choices: "small", the posterior's; "large", that of the forward step, $\beta_t$ for s = t - 1;
"learned", between the two in logarithms, by a network with twice the outputs. The first is right when the
data is one point, the second when it is N(0, I), and the truth lies between.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm.diffusion.predictions import Denoiser, check_kind, convert
from dgm.diffusion.process import posterior, posterior_coefficients, step_before, transition
from dgm.diffusion.schedule import DiscreteSchedule, Schedule
from dgm.tensor import expand_to

VARIANCES = ("small", "large", "learned")


class VarianceDenoiser:
    """A denoiser that also says where the reverse step's variance lies between its two limits.

    Its network has twice as many outputs as the data has channels: the prediction, and a number per entry
    that is -1 for the posterior's variance, 1 for the forward step's and 0 for the middle of their
    logarithms. As in the paper nothing keeps it between them: a limit would stop its gradient.

    Args:
        network: (x_t (B, C, ...), t (B,)) -> (B, 2C, ...), or (x_t, t, y) where `y` is given.
        schedule: of the noise.
        predicts: kind of the first C channels: "x0", "eps", "v" or "score".
        y: (B,) labels for the network.
        clip: limits (low, high) that x0_hat is clamped to; None for none.

    Source: Nichol & Dhariwal 2021, section 3.1.
    """

    def __init__(
        self,
        network: Callable[..., Tensor],
        schedule: Schedule,
        predicts: str = "eps",
        *,
        y: Tensor | None = None,
        clip: tuple[float, float] | None = None,
    ) -> None:
        check_kind("predicts", predicts)
        self.network, self.schedule, self.predicts, self.y, self.clip = network, schedule, predicts, y, clip

    def with_variance(self, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x0_hat and the fraction, 0 for the small variance and 1 for the large one, each (B, C, ...)."""
        out = self.network(x_t, t) if self.y is None else self.network(x_t, t, self.y)
        prediction, fraction = split_outputs(out, x_t)
        x0_hat = convert(prediction, x_t, t, self.schedule, self.predicts, "x0")
        return (x0_hat if self.clip is None else x0_hat.clamp(*self.clip)), fraction

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """x0_hat (B, C, ...) alone."""
        return self.with_variance(x_t, t)[0]


def split_outputs(out: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
    """The prediction and the fraction, each of x_t's shape, from a network's 2C channels."""
    wanted = (len(x_t), 2 * x_t.shape[1], *x_t.shape[2:])
    if tuple(out.shape) != wanted:
        raise ValueError(
            f"a network with a learned variance must return shape (B, 2C, ...) = {wanted}, "
            f"got {tuple(out.shape)}; build it with outputs=2"
        )
    prediction, raw = out.chunk(2, dim=1)
    return prediction, (raw + 1) / 2


def learned_logvar(fraction: Tensor, t: Tensor, schedule: Schedule, s: Tensor | None = None) -> Tensor:
    r"""Log-variance between the two limits of a reverse step.

    $\log \sigma_\theta^2 = \nu \log \sigma_{t|s}^2 + (1 - \nu) \log \tilde\sigma^2$; for s = t - 1 between
    $\log \beta_t$ and $\log \tilde\beta_t$. At t = 1, where $\tilde\beta_1 = 0$, $\tilde\beta_2$ takes its
    place.

    Args:
        fraction: (B, ...) nu, 0 for the small variance and 1 for the large one.
        t: (B,) times.
        schedule: of the noise.
        s: (B,) earlier times; t - 1 when None.

    Returns:
        (B, ...) log-variance.

    Source: Nichol & Dhariwal 2021, section 3.1.
    Equation: diff-learned-variance
    Test: tests/equations/test_diffusion.py::test_learned_variance_is_geometric_between_the_two
    """
    s = step_before(t, schedule) if s is None else s
    low, high = (
        expand_to(v.log().to(device=fraction.device, dtype=fraction.dtype), fraction)
        for v in (small_var(t, s, schedule), transition(t, s, schedule)[1])
    )
    return fraction * high + (1 - fraction) * low


def reverse_moments(
    denoiser: Denoiser,
    x_t: Tensor,
    t: Tensor,
    schedule: Schedule,
    *,
    s: Tensor | None = None,
    variance: str = "small",
) -> tuple[Tensor, Tensor]:
    r"""Mean and log-variance of the model's step p(x_s | x_t).

    $\mu_\theta = \tilde\mu(x_t, \hat x_0(x_t, t))$

    Args:
        denoiser: (x_t, t) -> x0_hat; a `VarianceDenoiser` for the learned variance.
        x_t: (B, ...) points at time t.
        t: (B,) times.
        schedule: of the noise.
        s: (B,) earlier times; t - 1 when None.
        variance: "small", "large" or "learned".

    Returns:
        mean (B, ...) and logvar (B, ...), of size 1 along all axes but the first unless it is learned.

    Raises:
        ValueError: on another variance, or one that this denoiser does not give.

    Source: Ho, Jain & Abbeel 2020, section 3.2.
    Equation: diff-variance
    Test: tests/equations/test_diffusion.py::test_two_variances_are_those_of_a_point_and_of_the_unit_gaussian
    """
    s = step_before(t, schedule) if s is None else s
    x0_hat, fraction = predict(denoiser, x_t, t, variance)
    mean = posterior(x_t, t, x0_hat, schedule, s)[0]
    return mean, step_logvar(fraction, t, s, x_t, schedule, variance)


def predict(denoiser: Denoiser, x_t: Tensor, t: Tensor, variance: str) -> tuple[Tensor, Tensor | None]:
    """x0_hat, and the fraction of the learned variance where one is asked for, from one evaluation."""
    if variance not in VARIANCES:
        raise ValueError(f"variance must be one of {', '.join(VARIANCES)}, got {variance!r}")
    if variance != "learned":
        return denoiser(x_t, t), None
    if not hasattr(denoiser, "with_variance"):
        raise ValueError(
            'variance="learned" needs a denoiser that predicts one; build it by '
            "VarianceDenoiser(network, schedule) from a network with twice the outputs"
        )
    x0_hat, fraction = denoiser.with_variance(x_t, t)
    return x0_hat, fraction


def step_logvar(
    fraction: Tensor | None, t: Tensor, s: Tensor, x_t: Tensor, schedule: Schedule, variance: str
) -> Tensor:
    """The log-variance of one kind: (B, ...) where a fraction is given, else (B, 1, ..., 1)."""
    if fraction is not None:
        return learned_logvar(fraction, t, schedule, s)
    var = small_var(t, s, schedule) if variance == "small" else transition(t, s, schedule)[1]
    return expand_to(var.log().to(device=x_t.device, dtype=x_t.dtype), x_t)


def small_var(t: Tensor, s: Tensor, schedule: Schedule) -> Tensor:
    """The posterior's variance (B,), and at s = 0, where that is 0, the next larger one that there is."""
    var = posterior_coefficients(t, s, schedule)[2]
    if isinstance(schedule, DiscreteSchedule) and schedule.T > 1:
        instead = schedule.posterior_var[2].to(var.device)
    else:
        instead = transition(t, s, schedule)[1]
    return torch.where(s == 0, instead, var)
