"""Scikit-learn's handwritten digits: 1797 images of 8x8 pixels, inside the package, no download."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from dgm.data.images import ImageSet

__all__ = ["DIGITS_LEVELS", "DIGITS_SPLITS", "load_digits"]

DIGITS_LEVELS = 17
DIGITS_SPLITS = {"train": (0, 1000), "valid": (1000, 1350), "test": (1350, 1797)}


def load_digits(split: str) -> ImageSet:
    """Return one part of the digits: train (the first 1000), valid (the next 350) or test (the last 447).

    The originals are 32x32 bitmaps; a value counts the inked pixels of a 4x4 block, hence 0 .. 16, 17 levels.
    The images are kept in the order of the data set, in which writers follow one another: the last images
    come from other writers than the first, so valid and test also ask for generalisation to new hands, and
    differ in difficulty.

    Args:
        split: "train", "valid" or "test".
    Returns:
        x uint8 (N, 1, 8, 8) in 0 .. 16, y int64 (N,) in 0 .. 9, levels 17. The tensors are the caller's own.
    Raises:
        ValueError: another split.
    """
    if split not in DIGITS_SPLITS:
        raise ValueError(f"split must be one of {', '.join(DIGITS_SPLITS)}, got {split!r}")
    start, stop = DIGITS_SPLITS[split]
    x, y = _all_digits()
    return ImageSet(x[start:stop].clone(), y[start:stop].clone(), DIGITS_LEVELS)


@cache
def _all_digits() -> tuple[Tensor, Tensor]:
    from sklearn import datasets  # lazily: a second of imports

    images, labels = datasets.load_digits(return_X_y=True)
    x = torch.as_tensor(images).to(torch.uint8).reshape(-1, 1, 8, 8)  # (1797, 1, 8, 8)
    return x, torch.as_tensor(labels).to(torch.int64)
