"""The kernel distance (KID): the squared maximum mean discrepancy of features under a polynomial kernel."""

import torch
from torch import Tensor

from dgm.metrics.arrays import check_features, check_same_columns, row_blocks, triangle_blocks


def kernel_distance(features_x: Tensor, features_y: Tensor, *, degree: int = 3) -> float:
    r"""The unbiased estimate of the squared maximum mean discrepancy, with the kernel $(x^\top y / D + 1)^3$.

    $\widehat{\mathrm{MMD}}{}^2 = \frac{1}{N(N-1)} \sum_{i \ne j} k(x_i, x_j)
    + \frac{1}{M(M-1)} \sum_{i \ne j} k(y_i, y_j) - \frac{2}{NM} \sum_{i, j} k(x_i, y_j)$

    Its mean over draws is the truth for every N and M, so it may be negative where the two sets come from one
    distribution. Published figures average it over 100 subsets of 1000 samples (`subset_kernel_distances`);
    one estimate from all samples has the same mean and less variance.

    Args:
        features_x: (N, D), one row per sample, N at least 2.
        features_y: (M, D), likewise.
        degree: of the kernel.

    Returns:
        the estimate, in units of the kernel (features to the power of twice the degree).

    Raises:
        ValueError: if the shapes do not fit, there are fewer than 2 samples, or a feature is not finite.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4.
    Equation: eval-kid
    Test: tests/equations/test_evaluation.py::test_the_estimate_has_the_squared_gap_of_mean_lists_as_its_mean
    """
    x, y = _check_pair(features_x, features_y)
    return _estimates(x, y, x.new_ones(1, len(x)), y.new_ones(1, len(y)), degree).item()


def subset_kernel_distances(
    features_x: Tensor, features_y: Tensor, subsets_x: Tensor, subsets_y: Tensor, *, degree: int = 3
) -> Tensor:
    r"""The kernel distance of each of S pairs of subsets: their mean is the KID of publications.

    `subset_kernel_distances(x, y, draw_subsets(len(x)), draw_subsets(len(y))).mean()`

    With $s \in \{0, 1\}^N$ for the rows of a subset, $\sum_{i, j \in s} k(x_i, x_j) = s^\top K s$. So each
    kernel is computed once for all subsets, unless the subsets together hold fewer pairs than the features.

    Args:
        features_x: (N, D), one row per sample.
        features_y: (M, D), likewise.
        subsets_x: (S, n), rows of x, whole numbers, n at least 2.
        subsets_y: (S, m), rows of y, m at least 2.
        degree: of the kernel.

    Returns:
        (S,) float64, in units of the kernel. The deviation among them is no standard error of their mean:
        subsets of one set overlap.

    Raises:
        ValueError: if the shapes do not fit, a row does not exist, or a feature is not finite.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4.
    Test: tests/unit/test_metrics_large.py::test_subset_kernel_distances_are_those_of_the_subsets
    """
    x, y = _check_pair(features_x, features_y)
    subsets_x, subsets_y = _check_subsets(subsets_x, x, "x"), _check_subsets(subsets_y, y, "y")
    if len(subsets_x) != len(subsets_y):
        raise ValueError(
            f"subsets_x and subsets_y must have as many rows, got {len(subsets_x)} and {len(subsets_y)}; "
            "draw as many of both"
        )
    if subsets_x.numel() * subsets_y.shape[1] < len(x) * len(y):
        each = [kernel_distance(x[i], y[j], degree=degree) for i, j in zip(subsets_x, subsets_y, strict=True)]
        return x.new_tensor(each)
    return _estimates(x, y, _counts(subsets_x, x), _counts(subsets_y, y), degree)


def draw_subsets(
    rows: int, *, subsets: int = 100, size: int = 1000, generator: torch.Generator | None = None
) -> Tensor:
    """Draw the rows of subsets, without replacement within each.

    Args:
        rows: number of rows to draw from.
        subsets: how many.
        size: rows of each.
        generator: of the draws.

    Returns:
        (subsets, size) int64.

    Raises:
        ValueError: if `subsets` is below 1, or `size` is not between 1 and `rows`.
    """
    if subsets < 1 or not 1 <= size <= rows:
        raise ValueError(
            f"there must be at least 1 subset, of a size from 1 to the {rows} rows, got subsets={subsets} "
            f"and size={size}; draw more samples, or take smaller subsets"
        )
    return torch.stack([torch.randperm(rows, generator=generator)[:size] for _ in range(subsets)])


def _estimates(x: Tensor, y: Tensor, counts_x: Tensor, counts_y: Tensor, degree: int) -> Tensor:
    """(S,) estimates; counts (S, N) and (S, M) say how often a row is in a subset."""
    n, m = counts_x.sum(1), counts_y.sum(1)  # (S,)
    within_x = _pairs(x, counts_x, degree) / (n * (n - 1) / 2)
    within_y = _pairs(y, counts_y, degree) / (m * (m - 1) / 2)
    between = x.new_zeros(len(counts_x))
    for rows in row_blocks(len(x), len(y)):
        block = _kernel(x[rows], y, degree)  # (R, M)
        between += (counts_x[:, rows] @ block).mul_(counts_y).sum(1)
    return within_x + within_y - 2 * between / (n * m)


def _pairs(x: Tensor, counts: Tensor, degree: int) -> Tensor:
    """(S,) sums of the kernel over the pairs i < j of each subset: half of the off-diagonal."""
    total = x.new_zeros(len(counts))
    for rows in triangle_blocks(len(x)):
        block, here = _kernel(x[rows], x[rows.start :], degree), counts[:, rows]  # (R, N - start), (S, R)
        sums = here @ block  # (S, N - start)
        both = (sums[:, : here.shape[1]] * here).sum(1) - here @ block.diagonal()  # each pair twice
        total += both / 2 + (sums[:, here.shape[1] :] * counts[:, rows.stop :]).sum(1)
    return total


def _kernel(x: Tensor, y: Tensor, degree: int) -> Tensor:
    """(N, M) values of the kernel."""
    return torch.addmm(x.new_ones(1), x, y.T, alpha=1 / x.shape[1]).pow_(degree)


def _counts(subsets: Tensor, x: Tensor) -> Tensor:
    ones = x.new_ones(subsets.shape)
    return x.new_zeros(len(subsets), len(x)).scatter_add_(1, subsets, ones)  # (S, N)


def _check_pair(features_x: Tensor, features_y: Tensor) -> tuple[Tensor, Tensor]:
    x = check_features(features_x, "features_x", 2, "have pairs")
    y = check_features(features_y, "features_y", 2, "have pairs")
    check_same_columns(x, y, ("features_x", "features_y"))
    return x, y


def _check_subsets(subsets: Tensor, x: Tensor, name: str) -> Tensor:
    if subsets.ndim != 2 or not len(subsets) or subsets.shape[1] < 2 or subsets.is_floating_point():
        raise ValueError(
            f"subsets_{name} must be whole numbers of shape (S, n), S at least 1 and n at least 2, "
            f"got {subsets.dtype} {tuple(subsets.shape)}; use draw_subsets(len({name}))"
        )
    if int(subsets.min()) < 0 or int(subsets.max()) >= len(x):
        raise ValueError(
            f"subsets_{name} must be rows of features_{name}, 0 to {len(x) - 1}, got {int(subsets.min())} to "
            f"{int(subsets.max())}; use draw_subsets(len({name}))"
        )
    return subsets.to(x.device, torch.int64)
