"""A labelled set of images in whole grey levels, and the way from levels to [-1, 1] and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.tensor import check_levels

__all__ = ["ImageSet"]


@dataclass(frozen=True)
class ImageSet:
    """Images with labels.

    Args:
        x: (N, C, H, W), uint8, values in 0 .. levels - 1.
        y: (N,), int64, class labels.
        levels: how many grey levels there are, 2 to 256.
    Raises:
        ValueError: a wrong shape or dtype, or a value that is no level.
    """

    x: Tensor
    y: Tensor
    levels: int

    def __post_init__(self) -> None:
        if self.x.dtype != torch.uint8 or self.x.ndim != 4:
            raise ValueError(f"x must be uint8 (N, C, H, W), got {self.x.dtype} {tuple(self.x.shape)}")
        if self.y.dtype != torch.int64 or self.y.shape != self.x.shape[:1]:
            raise ValueError(
                f"y must be int64 (N,) = ({len(self.x)},), got {self.y.dtype} {tuple(self.y.shape)}"
            )
        check_levels(self.levels)
        if self.x.numel() and int(self.x.max()) >= self.levels:
            raise ValueError(f"x must lie in 0 .. {self.levels - 1}, got {int(self.x.max())}")

    def __len__(self) -> int:
        """Return N, the number of images."""
        return len(self.x)

    @property
    def dims(self) -> int:
        """Return C H W, the number of dimensions of one image (as for bits per dimension)."""
        return self.x[0].numel() if len(self) else 0
