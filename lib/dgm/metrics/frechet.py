"""The Fréchet distance between two Gaussians, and between two sets of features seen as Gaussians.

The textbook form needs the square root of `cov1 @ cov2`, which is not symmetric: `sqrtm` then returns complex
numbers, or none at all when a covariance has no full rank. The trace of that root is all that is wanted, and
with `cov1 = F1 F1ᵀ` and `cov2 = F2 F2ᵀ` it is the sum of the singular values of `F1ᵀ F2`: real, never
negative, and as good with rank 3 as with rank 64.
"""

import torch
from torch import Tensor

from dgm.metrics.arrays import check_features, check_finite, check_same_columns

_ASYMMETRY = 1e-6  # relative; a float32 covariance is symmetric to about 1e-7
_INDEFINITE = 1e-5  # relative; a float32 covariance of low rank has eigenvalues down to about -1e-6


def gaussian_frechet(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float:
    """The squared 2-Wasserstein (Fréchet) distance between two Gaussians, in float64.

    d² = ‖mu1 - mu2‖² + tr cov1 + tr cov2 - 2 tr (cov1 cov2)^½, never negative.

    Args:
        mu1: (D,), mean of the first Gaussian.
        cov1: (D, D), its covariance: symmetric, positive semi-definite, of any rank.
        mu2: (D,), mean of the second Gaussian.
        cov2: (D, D), its covariance.

    Returns:
        d², a float in squared units of the features. (FID is this squared distance, without a root.)

    Raises:
        ValueError: if shapes do not fit, a value is not finite, or a covariance is asymmetric or indefinite.

    Source: Dowson & Landau 1982, "The Fréchet distance between multivariate normal distributions".
    Test: tests/unit/test_metrics.py::test_gaussian_frechet_equals_the_sqrtm_form
    """
    m1, c1 = _check_gaussian(mu1, cov1, "1")
    m2, c2 = _check_gaussian(mu2, cov2, "2")
    if m1.shape != m2.shape:
        raise ValueError(
            f"mu1 and mu2 must have one shape, got {tuple(m1.shape)} and {tuple(m2.shape)}; "
            "take both from the same feature extractor"
        )
    return _frechet_from_factors(m1, _factor(c1, "cov1"), m2, _factor(c2, "cov2"))


def frechet_distance(features_x: Tensor, features_y: Tensor) -> float:
    """The Fréchet distance between Gaussians fitted to two sets of features (FID, with Inception's features).

    d² = ‖mean x - mean y‖² + tr Cx + tr Cy - 2 tr (Cx Cy)^½, covariances with N - 1 below.

    It is biased upward by about 1 / N + 1 / M: compare only figures taken with the same numbers of samples.

    Args:
        features_x: (N, D), one row per sample, N at least 2; N may be smaller than D.
        features_y: (M, D), likewise.

    Returns:
        d², a float in squared units of the features.

    Raises:
        ValueError: if the shapes do not fit, there are fewer than 2 samples, or a feature is not finite.

    Source: Heusel et al. 2017, eq. (6).
    Test: tests/unit/test_metrics.py::test_frechet_distance_is_the_distance_of_the_fitted_gaussians
    """
    mu_x, factor_x = _mean_and_factor(features_x, "features_x")
    mu_y, factor_y = _mean_and_factor(features_y, "features_y")
    check_same_columns(mu_x, mu_y, ("features_x", "features_y"))
    return _frechet_from_factors(mu_x, factor_x, mu_y, factor_y)


def _frechet_from_factors(mu1: Tensor, factor1: Tensor, mu2: Tensor, factor2: Tensor) -> float:
    """The distance when cov = factor @ factorᵀ; factors are (D, R) with any numbers of columns."""
    trace_of_root = torch.linalg.svdvals(factor1.T @ factor2).sum()
    d2 = (mu1 - mu2).square().sum() + factor1.square().sum() + factor2.square().sum() - 2 * trace_of_root
    return max(d2.item(), 0.0)  # rounding leaves about -1e-16 times the traces between equal Gaussians


def _mean_and_factor(features: Tensor, name: str) -> tuple[Tensor, Tensor]:
    x = check_features(features, name, 2, "have a covariance").cpu()
    centred = (x - x.mean(0)) / (len(x) - 1) ** 0.5  # (N, D); centredᵀ centred is the covariance
    # A QR step brings a tall (N, D) factor down to (D, D) without squaring its condition number.
    factor = torch.linalg.qr(centred, mode="r").R.T if len(x) > x.shape[1] else centred.T  # (D, min(N, D))
    return x.mean(0), factor


def _factor(cov: Tensor, name: str) -> Tensor:
    """A factor F with F Fᵀ = cov from the symmetric eigenvalues; a Cholesky factor would need full rank."""
    values, vectors = torch.linalg.eigh(cov)  # (D,), (D, D)
    if values[0] < -_INDEFINITE * values.abs().max():
        raise ValueError(
            f"{name} must be positive semi-definite, got the eigenvalue {values[0].item():.3g}; "
            "use torch.cov(features.T)"
        )
    return vectors * values.clamp(min=0).sqrt()  # (D, D)


def _check_gaussian(mu: Tensor, cov: Tensor, number: str) -> tuple[Tensor, Tensor]:
    if mu.ndim != 1:
        raise ValueError(f"mu{number} must have shape (D,), got {tuple(mu.shape)}; use features.mean(0)")
    if cov.shape != (len(mu), len(mu)):
        raise ValueError(
            f"cov{number} must have shape (D, D) = ({len(mu)}, {len(mu)}), got {tuple(cov.shape)}; "
            "use torch.cov(features.T)"
        )
    check_finite(mu, f"mu{number}")
    check_finite(cov, f"cov{number}")
    m, c = mu.detach().to("cpu", torch.float64), cov.detach().to("cpu", torch.float64)
    if (c - c.T).abs().max() > _ASYMMETRY * c.abs().max():
        raise ValueError(
            f"cov{number} must be symmetric, got entries that differ from their mirror by up to "
            f"{(c - c.T).abs().max().item():.3g}; use torch.cov(features.T)"
        )
    return m, (c + c.T) / 2
