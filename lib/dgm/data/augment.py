"""Slightly different handwriting: random small distortions of the 8x8 digits that keep their statistics."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

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

    A pixel of the digits counts the ink in a 4x4 block of a 32x32 bitmap. So the image is interpolated
    (bicubic) at the 32x32 points of a randomly distorted grid, thresholded at half ink to a bitmap, and
    counted in 4x4 blocks. Warping the 8x8 image itself would blur the edges, which a count keeps sharp.

    Each range is uniform and independent per image; with all four at 0 the digits come back nearly unchanged.

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
    device = x.device if generator is None else generator.device
    u = (2 * torch.rand(n, 5, generator=generator, device=device) - 1).to(x.device)  # (N, 5) in [-1, 1]
    angle = math.radians(degrees) * u[:, 0]  # (N,)
    size = 1 + scale * u[:, 1]  # (N,)
    # From a point of the new image to one of the old, in half images: rotation times shear, scaled.
    cos, sin, k = angle.cos() / size, angle.sin() / size, shear * u[:, 2]
    move = (shift / 4) * u[:, 3:5]  # (N, 2); 4 pixels are half an image
    first = torch.stack([cos, k * cos - sin, move[:, 0]], dim=1)  # (N, 3)
    second = torch.stack([sin, k * sin + cos, move[:, 1]], dim=1)  # (N, 3)
    grid = F.affine_grid(torch.stack([first, second], dim=1), [n, 1, 32, 32], align_corners=False)
    ink = F.grid_sample(x.to(grid.dtype), grid, mode="bicubic", padding_mode="zeros", align_corners=False)
    bitmap = (ink > 8).to(grid.dtype)  # (N, 1, 32, 32); 8 of 16 is half ink
    return (F.avg_pool2d(bitmap, 4) * 16).round().to(torch.uint8)  # (N, 1, 8, 8)
