"""Diagonal Gaussians: density, KL, sampling as a differentiable map, and the best shared variance.

Everywhere `logvar` is log sigma^2 (natural logarithm), so any real number is a valid variance.
"""

import math

import torch
from torch import Tensor

from dgm.tensor import check_floating, check_same_shape, randn_like, sum_except_batch

LOG_2PI = math.log(2 * math.pi)


def _check_fits(name: str, value: Tensor, shape: torch.Size, like: str) -> None:
    """Raise unless `value` is a tensor that is 0-d or has as many dimensions as `shape`, each equal or 1."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} must be a tensor, got {value!r:.40} of type {type(value).__name__}; "
            f"for one number: torch.tensor({value!r:.40})"
        )
    if value.ndim == 0:
        return
    fits = value.ndim == len(shape) and all(v in (1, s) for v, s in zip(value.shape, shape, strict=True))
    if not fits:
        raise ValueError(
            f"{name} must have the shape of {like}, {tuple(shape)} (1 where it is shared), or be 0-d, "
            f"got {tuple(value.shape)}; flatten extra sample axes into the batch, "
            f"or add the missing axes: {name}[None]"
        )


def gaussian_log_prob(x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    r"""Log-density of a Gaussian with diagonal covariance, summed over all dimensions but the first.

    $\log \mathcal{N}(x; \mu, \sigma^2) = -\tfrac12 \sum_j \bigl[ \log 2\pi + \log\sigma_j^2
    + (x_j - \mu_j)^2 / \sigma_j^2 \bigr]$

    Args:
        x: (B, ...) points.
        mu: mean, the shape of `x` (or 1 along axes where it is shared, or a 0-d tensor).
        logvar: log sigma^2, likewise; a 0-d tensor, such as `torch.tensor(0.0)`, for one fixed variance.

    Returns:
        (B,) nats per batch entry (per unit volume of x, so its value depends on the units of x).

    Raises:
        ValueError: if `mu` or `logvar` would have to be broadcast over missing axes.

    Source: Bishop 2006, section 2.3.
    Equation: vae-gaussian-nll
    Test: tests/equations/test_vae.py::test_gaussian_log_prob_matches_torch_and_integrates_to_one
    """
    _check_fits("mu", mu, x.shape, "x")
    _check_fits("logvar", logvar, x.shape, "x")
    per_dim = -0.5 * (LOG_2PI + logvar + (x - mu).square() * torch.exp(-logvar))  # (B, ...)
    return sum_except_batch(per_dim)  # (B,)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    r"""Log-density of N(0, I), summed over all dimensions but the first.

    $\log \mathcal{N}(z; 0, I) = -\tfrac12 \sum_j (\log 2\pi + z_j^2)$

    Args:
        z: (B, ...) points.

    Returns:
        (B,) nats.

    Source: Bishop 2006, section 2.3.
    Test: tests/unit/test_prob.py::test_standard_normal_matches_torch
    """
    return sum_except_batch(-0.5 * (LOG_2PI + z.square()))  # (B,)


def reparameterise(mu: Tensor, logvar: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""Draw from N(mu, sigma^2) as a differentiable function of mu and logvar.

    $z = \mu + \sigma \odot \varepsilon, \quad \varepsilon \sim \mathcal{N}(0, I), \quad
    \sigma = e^{\text{logvar}/2}$

    Args:
        mu: (B, D) means.
        logvar: (B, D) log sigma^2.
        generator: where the noise comes from; PyTorch's global generator when None.

    Returns:
        (B, D) one draw per entry; gradients flow to mu and logvar, none to the noise.

    Raises:
        ValueError: if the two shapes differ, or mu holds integers.

    Source: Kingma & Welling 2014, section 2.4.
    Equation: vae-reparam
    Test: tests/equations/test_vae.py::test_reparameterised_draws_have_the_mean_variance_and_gradients
    """
    check_same_shape("logvar", logvar, "mu", mu, "use logvar.expand_as(mu) for a shared variance")
    check_floating("mu", mu)
    return mu + torch.exp(0.5 * logvar) * randn_like(mu, generator)


def kl_gaussian_standard_per_dim(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""KL(N(mu, sigma^2) || N(0, 1)) of each dimension on its own.

    $\tfrac12 \bigl( \mu_j^2 + \sigma_j^2 - \log\sigma_j^2 - 1 \bigr)$

    Args:
        mu: (B, D) means.
        logvar: (B, D) log sigma^2.

    Returns:
        (B, D) nats, never negative up to rounding.

    Source: Kingma & Welling 2014, appendix B.
    Equation: vae-gaussian-kl
    Test: tests/equations/test_vae.py::test_gaussian_kl_matches_torch_quadrature_and_monte_carlo
    """
    _check_fits("logvar", logvar, mu.shape, "mu")
    # expm1(l) - l keeps its digits where sigma is close to 1, where exp(l) - 1 - l cancels.
    return 0.5 * (mu.square() + torch.expm1(logvar) - logvar)


def kl_gaussian_standard(mu: Tensor, logvar: Tensor) -> Tensor:
    r"""KL(N(mu, diag sigma^2) || N(0, I)), summed over all dimensions but the first.

    $\tfrac12 \sum_j \bigl( \mu_j^2 + \sigma_j^2 - \log\sigma_j^2 - 1 \bigr)$

    Args:
        mu: (B, D) means.
        logvar: (B, D) log sigma^2.

    Returns:
        (B,) nats.

    Source: Kingma & Welling 2014, appendix B.
    Equation: vae-gaussian-kl
    Test: tests/equations/test_vae.py::test_gaussian_kl_matches_torch_quadrature_and_monte_carlo
    """
    return sum_except_batch(kl_gaussian_standard_per_dim(mu, logvar))


def kl_gaussians(mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    r"""KL(q || p) of two diagonal Gaussians, summed over all dimensions but the first.

    $\tfrac12 \sum_j \Bigl( \frac{(\mu_{q,j} - \mu_{p,j})^2 + \sigma_{q,j}^2}{\sigma_{p,j}^2}
    - \log \frac{\sigma_{q,j}^2}{\sigma_{p,j}^2} - 1 \Bigr)$

    Args:
        mu_q: (B, D) means of q, the distribution the expectation is taken under.
        logvar_q: (B, D) log-variances of q.
        mu_p: (B, D) means of p (or 1 along shared axes, or a 0-d tensor).
        logvar_p: (B, D) log-variances of p, likewise.

    Returns:
        (B,) nats.

    Raises:
        ValueError: if a shape would have to be broadcast over missing axes.

    Source: Bishop 2006, section 1.6.1, with the integrals of section 2.3.
    Equation: vae-gaussian-kl
    Test: tests/equations/test_vae.py::test_gaussian_kl_matches_torch_quadrature_and_monte_carlo
    """
    for name, value in (("logvar_q", logvar_q), ("mu_p", mu_p), ("logvar_p", logvar_p)):
        _check_fits(name, value, mu_q.shape, "mu_q")
    log_ratio = logvar_q - logvar_p  # log sigma_q^2 / sigma_p^2
    shift = (mu_q - mu_p).square() * torch.exp(-logvar_p)
    return sum_except_batch(0.5 * (shift + torch.expm1(log_ratio) - log_ratio))  # (B,)


def optimal_gaussian_variance(x: Tensor, mu: Tensor) -> Tensor:
    r"""The one shared variance under which N(x; mu, sigma^2) is largest: the mean squared error.

    $\sigma_*^2 = \frac{1}{BD} \sum_{b,j} (x_{bj} - \mu_{bj})^2$, and at it
    $-\log p = \tfrac{D}{2} (1 + \log 2\pi\sigma_*^2)$ per entry on average: "MSE" as a likelihood is
    this with sigma fixed at some other value.

    Args:
        x: (B, ...) data.
        mu: (B, ...) predicted means.

    Returns:
        () variance in squared units of x; its logarithm is the `logvar` of `gaussian_log_prob`.

    Raises:
        ValueError: if the two shapes differ.

    Source: Rybkin, Daniilidis & Levine 2021.
    Equation: vae-optimal-variance
    Test: tests/equations/test_vae.py::test_optimal_variance_is_the_argmax_of_the_likelihood
    """
    check_same_shape("mu", mu, "x", x)
    return (x - mu).square().mean()
