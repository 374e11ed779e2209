"""Metrics of quality and coverage apart, by balls around samples that reach to their k-th neighbours."""

from typing import NamedTuple

import torch
from torch import Tensor

from dgm.metrics.arrays import (
    check_features,
    check_same_columns,
    row_blocks,
    squared_distances,
    triangle_blocks,
)


class PrecisionRecall(NamedTuple):
    """Fractions of 1.

    Args:
        precision: share of the samples that lie in the estimated support of the real data.
        recall: share of the real data that lie in the estimated support of the samples.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Robust counterparts of precision and recall.

    Args:
        density: mean number of real balls that a sample lies in, divided by k; 1 is expected for real data,
            and it may be larger.
        coverage: share of the real balls that hold a sample, a fraction of 1.
    """

    density: float
    coverage: float


def neighbour_radii(features: Tensor, k: int) -> Tensor:
    """Squared distance of each row to its k-th nearest other row.

    Args:
        features: (N, D), N at least k + 1.
        k: at least 1.

    Returns:
        (N,) float64, squared units of the features.

    Raises:
        ValueError: if there are too few samples or k is below 1.
    """
    x = _check(features, "features", k)
    squares = x.square().sum(1)
    near = x.new_full((len(x), k), float("inf"))  # the k least so far of each row
    for rows in triangle_blocks(len(x)):
        rest = slice(rows.start, len(x))
        d2 = squared_distances(x[rows], x[rest], squares[rows], squares[rest])  # (R, N - start)
        d2.diagonal().fill_(float("inf"))  # a sample is not its own neighbour
        near[rows] = _least(near[rows], d2)
        later = slice(rows.stop, len(x))  # distances are symmetric: a column is a row of the other half
        near[later] = _least(near[later], d2[:, rows.stop - rows.start :].T)
    return near.max(1).values


def precision_recall(features_real: Tensor, features_fake: Tensor, k: int = 3) -> PrecisionRecall:
    r"""How many samples look real, and how much of the real data the samples could be.

    With $B_k(a; A)$ the ball around $a \in A$ that reaches to its k-th nearest neighbour in $A$:
    precision $= \tfrac1M \sum_j \big[y_j \in \bigcup_i B_k(x_i; X)\big]$, recall is the same with x and
    y swapped.

    Args:
        features_real: (N, D), N at least k + 1.
        features_fake: (M, D), M at least k + 1. Take as many as real ones: both figures depend on N and M.
        k: neighbours; the paper uses 3.

    Returns:
        the two fractions.

    Raises:
        ValueError: if the shapes do not fit, there are too few samples, or a feature is not finite.

    Source: Kynkäänniemi et al. 2019, "Improved precision and recall metric", eqs. (1) to (3).
    Equation: eval-precision-recall
    Test: tests/equations/test_evaluation.py::test_precision_and_recall_by_hand
    """
    x, y = _check_pair(features_real, features_fake, k)
    radii_x, radii_y = neighbour_radii(x, k), neighbour_radii(y, k)
    squares = y.square().sum(1)
    held = torch.zeros(len(y), dtype=torch.bool, device=y.device)  # a sample in some real ball
    found = []  # a real one in some sample's ball
    for rows in row_blocks(len(x), len(y)):
        d2 = squared_distances(x[rows], y, squares_y=squares)  # (R, M)
        held |= (d2 <= radii_x[rows, None]).any(0)
        found.append((d2 <= radii_y).any(1))
    return PrecisionRecall(held.double().mean().item(), torch.cat(found).double().mean().item())


def density_coverage(features_real: Tensor, features_fake: Tensor, k: int = 5) -> DensityCoverage:
    r"""How deep in the real data the samples lie, and how many real ones have a sample nearby.

    density $= \tfrac{1}{kM} \sum_{i, j} [y_j \in B_k(x_i; X)]$,
    coverage $= \tfrac1N \sum_i \big[\exists j: y_j \in B_k(x_i; X)\big]$

    Balls stand around real data alone, so an outlier among the samples makes nothing larger; one outlier
    among the real data counts one k-th of one ball. Between two sets from one distribution the expected
    density is 1, the expected coverage $1 - \prod_{j=1}^{k} \frac{N - j}{N + M - j}$, about
    $1 - 2^{-k}$ for N = M.

    Args:
        features_real: (N, D), N at least k + 1.
        features_fake: (M, D), M at least k + 1.
        k: neighbours; the paper uses 5.

    Returns:
        the two figures.

    Raises:
        ValueError: if the shapes do not fit, there are too few samples, or a feature is not finite.

    Source: Naeem et al. 2020, "Reliable fidelity and diversity metrics", section 3.
    Equation: eval-density-coverage
    Test: tests/equations/test_evaluation.py::test_density_and_coverage_by_hand
    """
    x, y = _check_pair(features_real, features_fake, k)
    radii, squares = neighbour_radii(x, k), y.square().sum(1)
    within, covered = 0.0, 0.0
    for rows in row_blocks(len(x), len(y)):
        inside = squared_distances(x[rows], y, squares_y=squares) <= radii[rows, None]  # (R, M)
        within += inside.sum().item()
        covered += inside.any(1).sum().item()
    return DensityCoverage(within / (k * len(y)), covered / len(x))


def _least(near: Tensor, d2: Tensor) -> Tensor:
    """The k least of each row of (R, k) and (R, C) together, (R, k)."""
    k = near.shape[1]
    least = d2.topk(min(k, d2.shape[1]), dim=1, largest=False, sorted=False).values
    return torch.cat([near, least], 1).topk(k, dim=1, largest=False, sorted=False).values


def _check(features: Tensor, name: str, k: int) -> Tensor:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return check_features(features, name, k + 1, f"have {k} neighbours each")


def _check_pair(features_real: Tensor, features_fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    x = _check(features_real, "features_real", k)
    y = _check(features_fake, "features_fake", k)
    check_same_columns(x, y, ("features_real", "features_fake"))
    return x, y
