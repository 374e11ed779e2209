"""Slightly different handwriting: random small distortions of the 8x8 digits that keep their statistics."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from dgm.tensor import draw_device

__all__ = ["augment_digits"]


def augment_digits(
    x: Tensor,
    generator: torch.Generator | None = None,
    *,
    degrees: float = 8.0,
    scale: float = 0.08,
    shift: float = 0.5,
    shear: float = 0.1,
) -> Tensor:
    """Turn, scale, shift and shear each digit a little, at random, the way the digits were made.

    A pixel of the digits counts the ink in a 4x4 block of a 32x32 bitmap. So the bitmap is rebuilt (see
    `_bitmap`), distorted, and counted in 4x4 blocks again. Warping the 8x8 image itself would blur the edges,
    which a count keeps sharp.

    Each range is uniform and independent per image; with all four at 0 the digits come back unchanged.

    Args:
        x: uint8 (N, 1, 8, 8), values 0 .. 16.
        generator: draws the distortions, 5 numbers per image; torch's global generator when None.
        degrees: the largest rotation, either way.
        scale: the largest relative change of size, either way.
        shift: the largest shift along each axis, in pixels of the 8x8 image.
        shear: the largest horizontal shear, in pixels per pixel.
    Returns:
        uint8 (N, 1, 8, 8), values 0 .. 16.
    Raises:
        ValueError: `x` has another shape or dtype.
    """
    if x.dtype != torch.uint8 or x.ndim != 4 or tuple(x.shape[1:]) != (1, 8, 8):
        raise ValueError(
            f"x must be uint8 (N, 1, 8, 8) with values 0 .. 16, got {x.dtype} {tuple(x.shape)}; "
            "augment before to_pm1 and before flattening"
        )
    n = len(x)
    u = (2 * torch.rand(n, 5, generator=generator, device=draw_device(generator, x)) - 1).to(
        x.device
    )  # (N, 5) in [-1, 1]
    angle = math.radians(degrees) * u[:, 0]  # (N,)
    size = 1 + scale * u[:, 1]  # (N,)
    # From a point of the new image to one of the old, in half images: rotation times shear, scaled.
    cos, sin, k = angle.cos() / size, angle.sin() / size, shear * u[:, 2]
    move = (shift / 4) * u[:, 3:5]  # (N, 2); 4 pixels are half an image
    first = torch.stack([cos, k * cos - sin, move[:, 0]], dim=1)  # (N, 3)
    second = torch.stack([sin, k * sin + cos, move[:, 1]], dim=1)  # (N, 3)
    grid = F.affine_grid(torch.stack([first, second], dim=1), [n, 1, 32, 32], align_corners=False)
    ink = F.grid_sample(_bitmap(x, grid.dtype), grid, mode="bilinear", align_corners=False)  # zeros outside
    return _count(ink > 0.5).to(torch.uint8)  # (N, 1, 8, 8)


def _bitmap(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Guess the 32x32 bitmap that x (N, 1, 8, 8) counts: zeros and ones, (N, 1, 32, 32).

    Each 4x4 block gets exactly as much ink as x says, on those of its 16 points where the bicubic
    interpolation of x is darkest. (A threshold at half ink would lose a third of the counts.)
    """
    n = len(x)
    ink = F.interpolate(x.to(dtype), scale_factor=4, mode="bicubic", align_corners=False)  # (N, 1, 32, 32)
    blocks = F.pixel_unshuffle(ink, 4).flatten(2).transpose(1, 2).contiguous()  # (N, 64, 16)
    darkest_first = blocks.argsort(dim=2, descending=True, stable=True)
    first = torch.arange(16, device=x.device) < x.reshape(n, 64, 1)  # (N, 64, 16); as many as x says
    inked = torch.zeros_like(blocks).scatter(2, darkest_first, first.to(dtype))
    return F.pixel_shuffle(inked.transpose(1, 2).reshape(n, 16, 8, 8), 4)


def _count(bitmap: Tensor) -> Tensor:
    """Count the ink of (N, 1, 32, 32) in 4x4 blocks: (N, 1, 8, 8)."""
    return F.pixel_unshuffle(bitmap, 4).sum(dim=1, keepdim=True)
