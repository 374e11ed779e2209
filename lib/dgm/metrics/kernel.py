"""The kernel distance (KID): the squared maximum mean discrepancy of features under a polynomial kernel."""

import torch
from torch import Tensor

from dgm.metrics.arrays import check_features, check_same_columns, row_blocks


def kernel_distance(features_x: Tensor, features_y: Tensor, *, degree: int = 3) -> float:
    r"""The unbiased estimate of the squared maximum mean discrepancy, with the kernel $(x^\top y / D + 1)^3$.

    $\widehat{\mathrm{MMD}}{}^2 = \frac{1}{N(N-1)} \sum_{i \ne j} k(x_i, x_j)
    + \frac{1}{M(M-1)} \sum_{i \ne j} k(y_i, y_j) - \frac{2}{NM} \sum_{i, j} k(x_i, y_j)$

    Its mean over draws is the truth for every N and M, so it may be negative where the two sets come from one
    distribution. Published figures average it over 100 subsets of 1000 samples; one estimate from all samples
    has the same mean and less variance.

    Args:
        features_x: (N, D), one row per sample, N at least 2.
        features_y: (M, D), likewise.
        degree: of the kernel.

    Returns:
        the estimate, in units of the kernel (features to the power of twice the degree).

    Raises:
        ValueError: if the shapes do not fit, there are fewer than 2 samples, or a feature is not finite.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4.
    """
    x = check_features(features_x, "features_x", 2, "have pairs")
    y = check_features(features_y, "features_y", 2, "have pairs")
    check_same_columns(x, y, ("features_x", "features_y"))
    n, m = len(x), len(y)
    within_x = _sum_of_pairs(x, degree) / (n * (n - 1) / 2)
    within_y = _sum_of_pairs(y, degree) / (m * (m - 1) / 2)
    between = sum(_kernel(x[rows], y, degree).sum() for rows in row_blocks(n, m)) / (n * m)
    return float(within_x + within_y - 2 * between)


def _kernel(x: Tensor, y: Tensor, degree: int) -> Tensor:
    """(N, M) values of the kernel."""
    return torch.addmm(x.new_ones(1), x, y.T, alpha=1 / x.shape[1]).pow_(degree)


def _sum_of_pairs(x: Tensor, degree: int) -> Tensor:
    """Sum of the kernel over pairs i < j: half of the off-diagonal, since the kernel is symmetric."""
    total = x.new_zeros(())
    for rows in row_blocks(len(x), len(x)):
        block = _kernel(x[rows], x[rows.start :], degree)  # (R, N - start): its diagonal is the pairs i = j
        total += block.triu_(1).sum()
    return total
