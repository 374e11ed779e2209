"""A labelled set of images in whole grey levels, and the way from levels to [-1, 1] and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ImageSet", "from_pm1", "to_pm1"]


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
        _check_levels(self.levels)
        if self.x.numel() and int(self.x.max()) >= self.levels:
            raise ValueError(f"x must lie in 0 .. {self.levels - 1}, got {int(self.x.max())}")

    def __len__(self) -> int:
        """Return N, the number of images."""
        return len(self.x)

    @property
    def dims(self) -> int:
        """Return C H W, the number of dimensions of one image (as for bits per dimension)."""
        return self.x[0].numel() if len(self) else 0


def to_pm1(x: Tensor, levels: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Map whole grey levels to [-1, 1]: 2 x / (levels - 1) - 1.

    Args:
        x: any shape, values in 0 .. levels - 1.
        levels: how many grey levels there are, 2 to 256.
        dtype: of the result; torch's default dtype when None.
    Returns:
        The shape of `x`, in [-1, 1].
    Raises:
        ValueError: `levels` is out of range.
    """
    _check_levels(levels)
    return x.to(dtype or torch.get_default_dtype()) * (2 / (levels - 1)) - 1


def from_pm1(x: Tensor, levels: int) -> Tensor:
    """Map [-1, 1] to the nearest grey level: round((x + 1) (levels - 1) / 2), clipped to the levels.

    Args:
        x: any shape, real values; outside [-1, 1] they are clipped.
        levels: how many grey levels there are, 2 to 256.
    Returns:
        uint8, the shape of `x`, in 0 .. levels - 1.
    Raises:
        ValueError: `levels` is out of range, `x` is not of a float dtype, or `x` holds NaN.
    """
    _check_levels(levels)
    if not x.is_floating_point():
        raise ValueError(f"x must be real numbers in [-1, 1], got {x.dtype}; levels need no from_pm1")
    if bool(x.isnan().any()):
        raise ValueError("x holds NaN, which is no grey level; look for where the sampler diverged")
    return ((x + 1) * ((levels - 1) / 2)).round().clamp(0, levels - 1).to(torch.uint8)


def _check_levels(levels: int) -> None:
    if not 2 <= levels <= 256:
        raise ValueError(f"levels must lie in 2 .. 256 (the pixels are uint8), got {levels}")
