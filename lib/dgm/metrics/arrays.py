"""What every metric asks of its feature arrays, and how large ones are walked in blocks."""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_ENTRIES = 1 << 22  # of a block of distances or kernels: 32 MB in float64
_TRIANGLE_ROWS = 512  # of a block on the diagonal: what lies below it is multiplied for nothing


def check_features(
    features: Tensor, name: str, at_least: int = 1, why: str = "be a set of samples"
) -> Tensor:
    """Return (N, D) features in float64, cut from any graph, on the device they came on.

    Raises:
        ValueError: if it is not a matrix, has fewer than `at_least` rows, or a value is not finite.
    """
    check_matrix(features, name, at_least, why)
    return features.detach().to(torch.float64)


def check_matrix(features: Tensor, name: str, at_least: int, why: str) -> None:
    """Raise what `check_features` raises, and convert nothing."""
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


def check_finite(x: Tensor, name: str) -> None:
    """Raise a ValueError if a value is NaN or infinite."""
    if bool(torch.isfinite(x.detach().sum())):
        return  # one NaN or infinity would be in the sum; the sum may overflow without, so count
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


def triangle_blocks(rows: int) -> Iterator[slice]:
    """Slices as `row_blocks` of a square matrix, thin ones: for one half of a symmetric matrix.

    A caller takes the columns from `slice.start` on, so that every pair i <= j is in one block.
    """
    return row_blocks(rows, max(rows, BLOCK_ENTRIES // _TRIANGLE_ROWS))


def squared_distances(
    x: Tensor, y: Tensor, squares_x: Tensor | None = None, squares_y: Tensor | None = None
) -> Tensor:
    """(N, M) squared Euclidean distances of float64 rows, never negative; squared norms when known."""
    # |x|^2 + |y|^2 - 2 x y by one matrix product; float64 keeps 1e-15 of the squared norms.
    of_x = x.square().sum(1) if squares_x is None else squares_x  # (N,)
    of_y = y.square().sum(1) if squares_y is None else squares_y  # (M,)
    return torch.addmm(of_y, x, y.T, alpha=-2.0).add_(of_x[:, None]).clamp_(min=0.0)
