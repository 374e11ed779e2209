r"""Two ways to differentiate E_q[f(z)] by the parameters of q, with very different variances.

Pathwise (reparameterisation): write z = mu + sigma eps and differentiate f along the path.
Score function (REINFORCE): multiply f by the gradient of log q; f need not be differentiable.

For f(z) = z^2 and z ~ N(mu, sigma^2), both estimate d/dmu = 2 mu. The variance of one draw is
    pathwise                       4 sigma^2
    score function, baseline b     ((mu^2 - b)^2 - 6 b sigma^2) / sigma^2 + 14 mu^2 + 15 sigma^2
smallest at b = mu^2 + 3 sigma^2, where it is 8 mu^2 + 6 sigma^2: still above the pathwise one.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dgm.prob import gaussian_log_prob, reparameterise
from dgm.tensor import check_same_shape


def score_function_surrogate(value: Tensor, log_q: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    r"""A quantity equal to `value` whose gradient is the score-function estimator.

    $\nabla_\phi \mathbb{E}_{q_\phi}[f(z)] = \mathbb{E}_{q_\phi}\bigl[ (f(z) - b)\, \nabla_\phi \log q_\phi(z)
    + \nabla_\phi f(z) \bigr]$

    The second term is the explicit dependence of f on the parameters (the decoder's, say), if it has any.
    Any b that does not depend on this draw leaves the estimator unbiased, for E[grad log q] = 0.

    Args:
        value: (B,) f(z), or (K, B) for K draws.
        log_q: the same shape, nats, log q(z) at z detached (`z.detach()`): the gradient must reach the
            parameters through the density, not through the draw.
        baseline: b, broadcast to the shape of `value`; no gradient flows into it.

    Returns:
        the shape of `value`; average it and call backward.

    Raises:
        ValueError: if `value` and `log_q` differ in shape, or the baseline would broadcast them to another.

    Source: Williams 1992; Mnih & Gregor 2014.
    Equation: vae-score-function
    Test: tests/equations/test_vae.py::test_score_function_surrogate_is_unbiased
    """
    check_same_shape("log_q", log_q, "value", value, "both hold one number per draw")
    advantage = (value - baseline).detach()
    if advantage.shape != value.shape:
        raise ValueError(
            f"baseline must broadcast to the shape of value, {tuple(value.shape)}, got "
            f"{tuple(torch.as_tensor(baseline).shape)}; give one number, or one per draw"
        )
    return value + advantage * (log_q - log_q.detach())  # the bracket is 0 but its gradient is not


def leave_one_out_baseline(value: Tensor) -> Tensor:
    r"""Baseline of each draw: the mean of f over the other draws.

    $b_k = \frac{1}{K-1} \sum_{i \ne k} f(z_i)$; independent of draw k, hence without bias.

    Args:
        value: (K, B) f(z) at K >= 2 independent draws.

    Returns:
        (K, B), detached.

    Raises:
        ValueError: with fewer than two draws.

    Source: Mnih & Rezende 2016.
    Test: tests/unit/test_vae.py::test_baseline_of_the_other_draws_reduces_the_variance
    """
    count = value.shape[0]
    if count < 2:
        raise ValueError(
            f"value must have shape (K, B) with K at least 2, got {tuple(value.shape)}; draw more often"
        )
    value = value.detach()
    return (value.sum(0) - value) / (count - 1)


def pathwise_gradients(
    f: Callable[[Tensor], Tensor],
    mu: Tensor,
    logvar: Tensor,
    *,
    samples: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Reparameterised gradient of E[f(z)], z ~ N(mu, sigma^2), from each draw on its own.

    $\hat g_\mu = \nabla_z f(z), \quad \hat g_{\text{logvar}} = \nabla_z f(z) \odot \tfrac12 \sigma \odot
    \varepsilon, \quad z = \mu + \sigma \odot \varepsilon$

    Args:
        f: maps (S, J) to (S,); differentiable.
        mu: (J,) means.
        logvar: (J,) log sigma^2.
        samples: S, number of draws.
        generator: source of the noise.

    Returns:
        gradients by mu and by logvar, each (S, J): average over S for the estimate, `.var(0)` for its
        single-draw variance.

    Source: Kingma & Welling 2014, section 2.4; Rezende, Mohamed & Wierstra 2014.
    Equation: vae-reparam
    Test: tests/equations/test_vae.py::test_pathwise_gradients_match_closed_form_mean_and_variance
    """
    mu_s, logvar_s = _leaves(mu, logvar, samples)  # (S, J) each
    z = reparameterise(mu_s, logvar_s, generator)  # (S, J)
    grad_mu, grad_logvar = torch.autograd.grad(f(z).sum(), (mu_s, logvar_s))
    return grad_mu, grad_logvar


def score_function_gradients(
    f: Callable[[Tensor], Tensor],
    mu: Tensor,
    logvar: Tensor,
    *,
    samples: int,
    baseline: Tensor | float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Score-function gradient of E[f(z)], z ~ N(mu, sigma^2), from each draw on its own.

    $\hat g_\mu = (f(z) - b) \frac{z - \mu}{\sigma^2}, \quad
    \hat g_{\text{logvar}} = (f(z) - b)\, \tfrac12 \Bigl( \frac{(z - \mu)^2}{\sigma^2} - 1 \Bigr)$

    Args:
        f: maps (S, J) to (S,); need not be differentiable.
        mu: (J,) means.
        logvar: (J,) log sigma^2.
        samples: S, number of draws.
        baseline: b, a number or (S,); must not depend on the draw it is subtracted from.
        generator: source of the noise.

    Returns:
        gradients by mu and by logvar, each (S, J).

    Source: Williams 1992.
    Equation: vae-score-function
    Test: tests/equations/test_vae.py::test_score_function_gradients_match_closed_form_mean_and_variance
    """
    mu_s, logvar_s = _leaves(mu, logvar, samples)  # (S, J) each
    z = reparameterise(mu_s, logvar_s, generator).detach()  # (S, J)
    surrogate = score_function_surrogate(f(z), gaussian_log_prob(z, mu_s, logvar_s), baseline)  # (S,)
    grad_mu, grad_logvar = torch.autograd.grad(surrogate.sum(), (mu_s, logvar_s))
    return grad_mu, grad_logvar


def _leaves(mu: Tensor, logvar: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """One copy of the parameters per draw, so that one backward pass gives every draw's own gradient."""
    if mu.ndim != 1 or mu.shape != logvar.shape:
        raise ValueError(
            f"mu and logvar must both have shape (J,), got {tuple(mu.shape)} and {tuple(logvar.shape)}"
        )
    copies = [p.detach().expand(samples, -1).clone().requires_grad_() for p in (mu, logvar)]
    return copies[0], copies[1]
