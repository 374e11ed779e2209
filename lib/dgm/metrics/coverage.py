"""Is every mode there? Figures of mode collapse, from a classifier's verdicts and from distances."""

import torch
from torch import Tensor


def class_shares(logits: Tensor) -> Tensor:
    r"""How large a share of the samples a classifier puts into each class.

    $s_k = \tfrac1N \sum_n [\arg\max_j l_{nj} = k]$

    Args:
        logits: (N, K) of a classifier at N samples.

    Returns:
        (K,) fractions of 1.

    Raises:
        ValueError: if `logits` is not (N, K) with at least one row.

    Test: tests/unit/test_gan.py::test_coverage_of_a_collapsed_set
    """
    if logits.ndim != 2 or not len(logits):
        raise ValueError(f"logits must have shape (N, K) with N at least 1, got {tuple(logits.shape)}")
    return torch.bincount(logits.argmax(1), minlength=logits.shape[1]) / len(logits)


def classes_covered(shares: Tensor, floor: float = 0.04) -> int:
    """The number of classes with more than a floor of the samples.

    Args:
        shares: (K,) fractions of 1, from `class_shares`.
        floor: the share that counts as covered, exclusive.

    Returns:
        a number from 0 to K.
    """
    return int((shares > floor).sum())


def class_entropy(shares: Tensor) -> float:
    r"""Entropy of the shares: log K when all classes are drawn alike, 0 when only one is.

    $-\sum_k s_k \log s_k$

    Args:
        shares: (K,) fractions of 1, from `class_shares`.

    Returns:
        nats.
    """
    return float(torch.special.entr(shares).sum())


def nearest_distances(x: Tensor, others: Tensor | None = None) -> Tensor:
    r"""Distance of each sample to the nearest of another set, or of its own set without itself.

    $\min_m \lVert x_n - o_m \rVert_2$

    From samples to the training images it is small for copies; from real images to samples it is large where
    a mode is missing; within the samples it is small for repeats.

    Args:
        x: (N, ...) samples or features.
        others: (M, ...) of the same shape but for M; None for x itself, N at least 2.

    Returns:
        (N,) units of x.

    Raises:
        ValueError: if the shapes do not fit.
    """
    a = x.flatten(1)
    if others is None:
        if len(a) < 2:
            raise ValueError(f"x must hold at least 2 samples to have neighbours, got {len(a)}")
        distances = torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist")  # (N, N)
        distances.fill_diagonal_(float("inf"))
    else:
        if x.shape[1:] != others.shape[1:] or not len(others):
            raise ValueError(
                f"x and others must agree in all axes but the first, got {tuple(x.shape)} and "
                f"{tuple(others.shape)}"
            )
        distances = torch.cdist(a, others.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")  # (N, M)
    return distances.min(1).values
