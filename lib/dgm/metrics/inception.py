"""The Inception Score: how much a sample's class tells, measured by a classifier."""

import math

import torch
from torch import Tensor

from dgm.metrics.arrays import check_finite


def class_information(logits: Tensor) -> float:
    r"""Mutual information between a sample and its class, as a classifier sees them.

    $I(x; y) = H\big[\tfrac1N \sum_n p(y \mid x_n)\big] - \tfrac1N \sum_n H[p(y \mid x_n)]
    = \tfrac1N \sum_n \mathrm{KL}\big(p(y \mid x_n) \,\|\, p(y)\big)$

    It is large when every sample is of one clear class and all classes are drawn; it sees nothing within a
    class: one picture for each class reaches the maximum, log K.

    Args:
        logits: (N, K) of the classifier at N samples.

    Returns:
        nats, between 0 and log K.

    Raises:
        ValueError: if `logits` is not (N, K) with at least one row, or a value is not finite.

    Equation: eval-information
    Test: tests/equations/test_evaluation.py::test_information_is_the_tables_divergence_from_independence
    """
    if logits.ndim != 2 or not len(logits):
        raise ValueError(f"logits must have shape (N, K) with N at least 1, got {tuple(logits.shape)}")
    check_finite(logits, "logits")
    p = logits.detach().double().softmax(1)  # (N, K)
    of_the_mean = torch.special.entr(p.mean(0)).sum()
    mean_of_each = torch.special.entr(p).sum(1).mean()
    return max((of_the_mean - mean_of_each).item(), 0.0)  # rounding leaves about -1e-16 for equal rows


def inception_score(logits: Tensor) -> float:
    r"""The exponential of the mutual information between a sample and its class.

    $\mathrm{IS} = \exp I(x; y)$, from 1 to K.

    Published figures are means over ten parts of 5000 samples each, which reads lower than all at once:
    average over `logits.chunk(10)` to compare with them.

    Args:
        logits: (N, K) of a classifier at N samples. The score is named after Inception v3's 1000 classes.

    Returns:
        a number of classes, between 1 and K.

    Raises:
        ValueError: as `class_information`.

    Source: Salimans et al. 2016, "Improved techniques for training GANs", section 4.
    Equation: eval-information
    Test: tests/equations/test_evaluation.py::test_information_is_the_tables_divergence_from_independence
    """
    return math.exp(class_information(logits))
