"""The Fréchet distance without its bias: measured at several sample sizes, extrapolated to infinity."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from dgm.metrics.arrays import check_features
from dgm.metrics.frechet import frechet_distance


class Extrapolation(NamedTuple):
    """A line through a metric over 1 / N.

    Args:
        limit: the intercept, the figure for infinitely many samples.
        slope: of the line; the bias at N samples is about slope / N.
        sizes: (P,) int64, the sample sizes that were measured.
        values: (P,) float64, the metric at each.
    """

    limit: float
    slope: float
    sizes: Tensor
    values: Tensor


def extrapolated_frechet(
    features_x: Tensor,
    features_y: Tensor,
    *,
    points: int = 15,
    smallest: int | None = None,
    generator: torch.Generator | None = None,
    distance: Callable[[Tensor, Tensor], float] = frechet_distance,
) -> Extrapolation:
    r"""Extrapolate the Fréchet distance over the number of samples drawn from x.

    The expected distance of N samples is $d^2_\infty + c / N + O(N^{-2})$, with a c that depends on the
    model: two models may change places with N. A least-squares line through the distances of random
    subsets of x over 1 / N meets 1 / N = 0 at $d^2_\infty$. The bias that y brings (a fixed reference) stays.

    Args:
        features_x: (N, D) of the model's samples; subsets of these are drawn, without replacement within one.
        features_y: (M, D) of the reference, always whole.
        points: number of subset sizes, equally spaced from the smallest to N.
        smallest: the least subset; N / 10 but at least 2 D where N allows it, when left out.
        generator: of the subsets.
        distance: of two feature arrays; the Fréchet distance unless given.

    Returns:
        the line and what it was fitted to.

    Raises:
        ValueError: with fewer than 2 points, a smallest subset below 2 or not below N, or bad features.

    Source: Chong & Forsyth 2020, "Effectively unbiased FID and Inception Score and where to find them".
    Equation: eval-extrapolate
    Test: tests/equations/test_evaluation.py::test_the_line_has_the_models_own_slope_and_ends_at_the_truth
    """
    x = check_features(features_x, "features_x", 4, "be extrapolated")
    n, d = x.shape
    low = min(max(n // 10, 2 * d), n // 2) if smallest is None else smallest
    if points < 2:
        raise ValueError(f"a line needs at least 2 points, got points={points}")
    if not 2 <= low < n:
        raise ValueError(f"smallest must lie between 2 and N - 1 = {n - 1}, got {low}")
    sizes = torch.linspace(low, n, points, dtype=torch.float64).round().long()  # (P,)
    values = [distance(x[torch.randperm(n, generator=generator)[:size]], features_y) for size in sizes]
    y = torch.tensor(values, dtype=torch.float64)  # (P,)
    inverse = 1 / sizes.double()
    slope = ((inverse - inverse.mean()) * (y - y.mean())).sum() / (inverse - inverse.mean()).square().sum()
    return Extrapolation((y.mean() - slope * inverse.mean()).item(), slope.item(), sizes, y)
