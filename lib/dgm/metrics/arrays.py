"""What every metric asks of its feature arrays, and how large ones are walked in blocks."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_ENTRIES = 1 << 22  # of a block of distances or kernels: 32 MB in float64


def check_features(
    features: Tensor, name: str, at_least: int = 1, why: str = "be a set of samples"
) -> Tensor:
    """Return (N, D) features in float64, cut from any graph, on the device they came on.

    Raises:
        ValueError: if it is not a matrix, has fewer than `at_least` rows, or a value is not finite.
    """
    if features.ndim != 2:
        raise ValueError(
            f"{name} must have shape (N, D), got {tuple(features.shape)}; use {name}.flatten(1) for images"
        )
    if len(features) < at_least:
        noun = "sample" if at_least == 1 else "samples"
        raise ValueError(
            f"{name} must hold at least {at_least} {noun} to {why}, got {len(features)}; draw more"
        )
    check_finite(features, name)
    return features.detach().to(torch.float64)


def check_finite(x: Tensor, name: str) -> None:
    """Raise a ValueError if a value is NaN or infinite."""
    bad = int((~torch.isfinite(x)).sum())
    if bad:
        raise ValueError(
            f"{name} must be finite, got {bad} NaN or infinite values of {x.numel()}; "
            "look for a diverged model or an overflow before the feature extractor"
        )


def check_same_columns(x: Tensor, y: Tensor, names: tuple[str, str]) -> None:
    """Raise a ValueError if two sets of features differ in D."""
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have as many columns, got {x.shape[-1]} and {y.shape[-1]}; "
            "take both from the same feature extractor"
        )


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a (rows, columns) matrix: at most `BLOCK_ENTRIES` entries each, or one row."""
    size = max(1, BLOCK_ENTRIES // max(columns, 1))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """(N, M) squared Euclidean distances of float64 rows, never negative."""
    # |x|^2 + |y|^2 - 2 x y by one matrix product; float64 keeps 1e-15 of the squared norms.
    d2 = torch.addmm(y.square().sum(1), x, y.T, alpha=-2.0)  # (N, M)
    return d2.add_(x.square().sum(1, keepdim=True)).clamp_(min=0.0)
