"""The Fréchet distance between two Gaussians, and between two sets of features seen as Gaussians.

The textbook form needs the square root of `cov1 @ cov2`, which is not symmetric: `sqrtm` then returns complex
numbers, or none at all when a covariance has no full rank. The trace of that root is all that is wanted, and
there are two symmetric ways to it.

- With `cov1 = F1 F1ᵀ` and `cov2 = F2 F2ᵀ` it is the sum of the singular values of `F1ᵀ F2`: real, never
  negative, and as good with rank 3 as with rank 64. Factors come from the features themselves, so nothing is
  squared. This is the accurate way, and at thousands of columns the slow one.
- With a Cholesky factor of one covariance, `cov1 = L Lᵀ`, it is the sum of the roots of the eigenvalues of
  the symmetric `Lᵀ cov2 L`: products of matrices, and one symmetric eigenvalue problem without vectors. But
  here the singular values are squared. Rounding moves an eigenvalue by about 1e-16 of the largest, and the
  root of an eigenvalue of 0 by 1e-8.

From `_LARGE` columns on the second way is tried first. It comes with a bound of its own rounding, from the
eigenvalues that it found; where the bound is above `_TOLERANCE` of the distance, or a covariance has no
Cholesky factor, the first way is taken. So equal and rank-deficient features, whose distance is all rounding,
always go the accurate way.
"""

import torch
from torch import Tensor

from dgm.metrics.arrays import check_finite, check_matrix, check_same_columns, row_blocks

_ASYMMETRY = 1e-6  # relative; a float32 covariance is symmetric to about 1e-7
_INDEFINITE = 1e-5  # relative; a float32 covariance of low rank has eigenvalues down to about -1e-6
_LARGE = 256  # columns; below, the accurate way takes milliseconds
_TOLERANCE = (
    1e-6  # relative to the distance; a bound, the rounding itself was 1000 times smaller wherever tried
)
_COLUMNS = 256  # of a block of a triangular product: the smaller, the fewer zeros are multiplied


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
    Equation: eval-frechet
    Test: tests/equations/test_evaluation.py::test_frechet_is_the_square_root_form
    """
    m1, c1 = _check_gaussian(mu1, cov1, "1")
    m2, c2 = _check_gaussian(mu2, cov2, "2")
    if m1.shape != m2.shape:
        raise ValueError(
            f"mu1 and mu2 must have one shape, got {tuple(m1.shape)} and {tuple(m2.shape)}; "
            "take both from the same feature extractor"
        )
    # A Cholesky factor of the second as well: the proof that it is positive definite.
    if len(m1) >= _LARGE and not torch.linalg.cholesky_ex(c2).info:
        d2 = _by_eigenvalues(m1, c1, m2, c2)
        if d2 is not None:
            return d2
    return _by_singular_values(m1, _factor(c1, "cov1"), m2, _factor(c2, "cov2"))


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
    for features, name in ((features_x, "features_x"), (features_y, "features_y")):
        check_matrix(features, name, 2, "have a covariance")
    check_same_columns(features_x, features_y, ("features_x", "features_y"))
    x, y = features_x.detach().cpu(), features_y.detach().cpu()
    mu_x, mu_y = x.mean(0, dtype=torch.float64), y.mean(0, dtype=torch.float64)
    if min(len(x), len(y)) > x.shape[1] >= _LARGE:  # else a covariance is singular, or small
        d2 = _by_eigenvalues(mu_x, _covariance(x, mu_x), mu_y, _covariance(y, mu_y))
        if d2 is not None:
            return d2
    return _by_singular_values(mu_x, _factor_of_features(x, mu_x), mu_y, _factor_of_features(y, mu_y))


def _by_singular_values(mu1: Tensor, factor1: Tensor, mu2: Tensor, factor2: Tensor) -> float:
    """The distance when cov = factor @ factorᵀ; factors are (D, R) with any numbers of columns."""
    trace_of_root = torch.linalg.svdvals(factor1.T @ factor2).sum()
    d2 = (mu1 - mu2).square().sum() + factor1.square().sum() + factor2.square().sum() - 2 * trace_of_root
    return max(d2.item(), 0.0)  # rounding leaves about -1e-16 times the traces between equal Gaussians


def _by_eigenvalues(mu1: Tensor, cov1: Tensor, mu2: Tensor, cov2: Tensor) -> float | None:
    """The distance from (D, D) covariances; None where rounding may have moved it by `_TOLERANCE` of it."""
    lower, failed = torch.linalg.cholesky_ex(cov1)
    if failed:
        return None
    # The eigenvalues of cov1 @ cov2 are the squares of the singular values: trace and root need no more.
    squares = torch.linalg.eigvalsh(_congruent(lower, cov2))  # (D,)
    # One that was moved by r has its root moved by at most r / root, and the traces count roots twice.
    r = torch.finfo(squares.dtype).eps * cov1.norm() * cov2.norm()
    d2 = (mu1 - mu2).square().sum() + cov1.trace() + cov2.trace() - 2 * squares.clamp(min=0).sqrt().sum()
    bound = 2 * (r / squares.clamp(min=r).sqrt()).sum()
    return d2.item() if bound < _TOLERANCE * d2 else None


def _congruent(lower: Tensor, cov: Tensor) -> Tensor:
    """The lower triangle of lowerᵀ @ cov @ lower, above it what it may be; (D, D) each."""
    out = torch.zeros_like(cov)
    for j in range(0, len(cov), _COLUMNS):
        c = slice(j, j + _COLUMNS)
        out[j:, c] = lower[j:, j:].T @ (cov[j:, j:] @ lower[j:, c])  # rows of `lower` before j are 0 in these
    return out


def _covariance(x: Tensor, mean: Tensor) -> Tensor:
    """(D, D) of (N, D) features, with N - 1 below; block by block, so that no copy of all of x is made."""
    n, d = x.shape
    cov, columns = mean.new_zeros(d, d), [slice(j, j + _COLUMNS) for j in range(0, d, _COLUMNS)]
    blocks = list(row_blocks(n, d))
    # One room for all blocks: fresh memory costs a tenth of the time. Its rows are not a power of two apart,
    # or they would share lines of the cache.
    room = mean.new_empty(blocks[0].stop, d + 8)[:, :d]
    for rows in blocks:
        centred = torch.sub(x[rows], mean, out=room[: rows.stop - rows.start])  # (R, D)
        for c in columns:  # the upper triangle alone: half of the products
            cov[c, c.start :].addmm_(centred[:, c].T, centred[:, c.start :])
    for c in columns:
        cov[c.stop :, c] = cov[c, c.stop :].T
    return cov.div_(n - 1)


def _factor_of_features(x: Tensor, mean: Tensor) -> Tensor:
    centred = (x - mean) / (len(x) - 1) ** 0.5  # (N, D); centredᵀ centred is the covariance
    # A QR step brings a tall (N, D) factor down to (D, D) without squaring its condition number.
    return torch.linalg.qr(centred, mode="r").R.T if len(x) > x.shape[1] else centred.T  # (D, min(N, D))


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
