"""Tests of two samples: can one tell the model's from the real, and are they copies of the training set?"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dgm.metrics.arrays import check_features, check_same_columns, row_blocks, squared_distances


class NeighbourTest(NamedTuple):
    """Leave-one-out accuracies of a 1-nearest-neighbour classifier, fractions of 1.

    Args:
        real: share of the real rows whose nearest neighbour is real.
        fake: share of the samples whose nearest neighbour is a sample.
    """

    real: float
    fake: float

    @property
    def accuracy(self) -> float:
        """The mean of both: one half where the two sets come from one distribution."""
        return (self.real + self.fake) / 2


def neighbour_test(features_real: Tensor, features_fake: Tensor) -> NeighbourTest:
    """Can the nearest neighbour among all the others tell a real row from a sample?

    Both accuracies are near one half when the two sets have one distribution (slightly below, since a row's
    own set has one row less). Both near 1: told apart. Real low, fake high: the samples repeat themselves
    near real data (mode collapse). Both below one half: samples sit on top of the real rows, as copies do.

    Args:
        features_real: (N, D), N at least 2.
        features_fake: (N, D), as many, so that one half is chance.

    Returns:
        the two accuracies.

    Raises:
        ValueError: if the shapes differ, there are too few rows, or a feature is not finite.

    Source: Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests"; Xu et al. 2018, "An empirical
        study on evaluation metrics of generative adversarial networks".
    """
    x = check_features(features_real, "features_real", 2, "have neighbours")
    y = check_features(features_fake, "features_fake", 2, "have neighbours")
    check_same_columns(x, y, ("features_real", "features_fake"))
    if len(x) != len(y):
        raise ValueError(
            f"features_real and features_fake must have as many rows, got {len(x)} and {len(y)}; "
            "cut the longer one, or chance is not one half"
        )
    return NeighbourTest(_own_is_nearer(x, y), _own_is_nearer(y, x))


def _own_is_nearer(x: Tensor, y: Tensor) -> float:
    """Share of the rows of x whose nearest other row of x is nearer than the nearest of y."""
    nearer = 0.0
    for rows in row_blocks(len(x), len(x)):
        own = squared_distances(x[rows], x)  # (R, N)
        at = torch.arange(rows.start, rows.stop, device=x.device)
        own[at - rows.start, at] = float("inf")
        other = squared_distances(x[rows], y).min(1).values
        nearer += (own.min(1).values < other).sum().item()
    return nearer / len(x)


def copying_z(features_fake: Tensor, features_held_out: Tensor, features_train: Tensor) -> float:
    r"""How many standard deviations nearer to the training set the samples lie than held-out data do.

    With d(.) the distance to the nearest training row and the Mann-Whitney count
    $U = \sum_{i, j} [d(y_i) > d(h_j)] + \tfrac12 [d(y_i) = d(h_j)]$, whose mean is NM / 2 and whose variance
    is NM (N + M + 1) / 12 where both kinds are equally far: $z = (U - NM/2) / \sqrt{NM(N + M + 1)/12}$.

    Far below 0: the samples are nearer than fresh real data would be (copies). Far above 0: they are farther
    away (blur, noise). About 0 says nothing against memorising.

    Args:
        features_fake: (N, D) samples.
        features_held_out: (M, D) real data that the model has not seen.
        features_train: (T, D) what it was trained on.

    Returns:
        z, without unit.

    Raises:
        ValueError: if the shapes do not fit, a set is empty, or a feature is not finite.

    Source: Meehan, Chaudhuri & Dasgupta 2020, "A non-parametric test to detect data-copying in generative
        models", section 3.
    Equation: eval-copying
    Test: tests/equations/test_evaluation.py::test_over_all_orders_the_copying_score_has_mean_0_and_variance_1
    """
    names = ("features_fake", "features_held_out", "features_train")
    y, held, train = (
        check_features(x, name)
        for x, name in zip((features_fake, features_held_out, features_train), names, strict=True)
    )
    check_same_columns(y, train, (names[0], names[2]))
    check_same_columns(held, train, (names[1], names[2]))
    a, b = _to_nearest(y, train), _to_nearest(held, train).sort().values
    n, m = len(a), len(b)
    below = torch.searchsorted(b, a, right=False)  # (N,) held-out distances smaller than a_i
    not_above = torch.searchsorted(b, a, right=True)
    u = (below + not_above).double().sum().item() / 2
    return (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def _to_nearest(x: Tensor, others: Tensor) -> Tensor:
    """(N,) squared distance of each row to the nearest of the others."""
    return torch.cat([squared_distances(x[r], others).min(1).values for r in row_blocks(len(x), len(others))])
