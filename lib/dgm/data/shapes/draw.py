"""Drawing: a signed distance for each shape, its coverage of every pixel, and paint.

Lengths are in units of the picture's side and y points down, so one drawing serves every size. The signed
distance is negative inside; a pixel whose centre is half a pixel inside the edge is fully covered, half a
pixel outside not at all:

    coverage = clamp(1/2 - distance * size, 0, 1)
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from dgm.data.shapes.factors import BACKGROUND_RGB, COLOUR_RGB, SHAPES

MIN_SIZE = 16
_CHUNK = 512  # pictures at a time: the intermediate arrays then stay in the processor's cache


def coverage(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor, size: int) -> Tensor:
    """Return how much of each pixel the shapes cover.

    Args:
        shape: int64 (N,), index into SHAPES.
        x: Column of the centre (N,), 0 is the left edge and 1 the right.
        y: Row of the centre (N,), 0 is the top and 1 the bottom.
        radius: Radius (N,) in units of the side; every shape fits into about 1.1 radii.
        size: Pixels along each side, at least 16.

    Returns:
        Coverage (N, size, size) in [0, 1], rows first, in the dtype of x.

    Raises:
        ValueError: If size is below 16, where the shapes can no longer be told apart.
    """
    if size < MIN_SIZE:
        raise ValueError(f"size must be at least {MIN_SIZE} pixels, got {size}; draw larger and average-pool")
    pixel = (torch.arange(size, dtype=x.dtype, device=x.device) + 0.5) / size  # (S,)
    out = x.new_empty(len(x), size, size)
    for number, name in enumerate(SHAPES):
        for part in (shape == number).nonzero()[:, 0].split(_CHUNK):
            dx = pixel - x[part, None, None]  # (M, 1, S)
            dy = pixel[:, None] - y[part, None, None]  # (M, S, 1)
            distance = DISTANCES[name](dx, dy, radius[part, None, None])  # (M, S, S)
            out[part] = distance.mul_(-size).add_(0.5).clamp_(0, 1)
    return out


def paint(canvas: Tensor, cover: Tensor, colour: Tensor) -> Tensor:
    """Return the canvas with a colour laid over it.

    Args:
        canvas: Picture (N, 3, S, S), or one colour for all pixels (N, 3, 1, 1), in [-1, 1].
        cover: Coverage (N, S, S).
        colour: Colour (N, 3) in [-1, 1].

    Returns:
        Picture (N, 3, S, S).
    """
    return torch.addcmul(canvas, cover[:, None], colour[:, :, None, None] - canvas)


def colours(index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the colours (N, 3) in [-1, 1] for indices (N,) into COLOURS."""
    return _to_pm1(COLOUR_RGB, index, dtype)


def backgrounds(index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the background colours (N, 3) in [-1, 1] for indices (N,) into BACKGROUNDS."""
    return _to_pm1(BACKGROUND_RGB, index, dtype)


def _to_pm1(rgb: tuple[tuple[int, int, int], ...], index: Tensor, dtype: torch.dtype) -> Tensor:
    return (torch.tensor(rgb, dtype=dtype, device=index.device) / 127.5 - 1)[index]


# The signed distances: of dx (M, 1, S), dy (M, S, 1) and r (M, 1, 1), each returns a new tensor (M, S, S).


def _circle(dx: Tensor, dy: Tensor, r: Tensor) -> Tensor:
    return (dx**2 + dy**2).sqrt_().sub_(0.95 * r)


def _square(dx: Tensor, dy: Tensor, r: Tensor) -> Tensor:
    return torch.maximum(dx.abs(), dy.abs()).sub_(0.82 * r)


def _triangle(dx: Tensor, dy: Tensor, r: Tensor) -> Tensor:
    # Equilateral with circumradius 1.2 r, the tip up, lowered so that it looks centred.
    inner = 0.6 * r
    dy = dy - 0.22 * r
    sides = math.sqrt(3) / 2 * dx.abs() - 0.5 * dy
    return torch.maximum(sides, dy).sub_(inner)


def _cross(dx: Tensor, dy: Tensor, r: Tensor) -> Tensor:
    across, along = dx.abs(), dy.abs()
    arm = 0.34 * r
    upright = torch.maximum(across - arm, along - r)
    return torch.minimum(upright, torch.maximum(across - r, along - arm))


def _ring(dx: Tensor, dy: Tensor, r: Tensor) -> Tensor:
    return (dx**2 + dy**2).sqrt_().sub_(0.72 * r).abs_().sub_(0.27 * r)


def _star(dx: Tensor, dy: Tensor, r: Tensor) -> Tensor:
    # Reflections at the lines 36 degrees to either side of the upper tip fold the other four tips onto it.
    cos, sin = math.cos(math.pi / 5), math.sin(math.pi / 5)
    across, up = dx.abs(), -dy
    beyond = (cos * across - sin * up).clamp_(min=0)
    across, up = across - 2 * cos * beyond, up + 2 * sin * beyond
    beyond = (-cos * across - sin * up).clamp_(min=0)
    across, up = (across + 2 * cos * beyond).abs_(), up + 2 * sin * beyond
    # The edge runs from the tip at 1.12 r to the notch at 0.5 r, 36 degrees away; (a, b) is its unit normal.
    a, b = 1.12 - 0.5 * cos, 0.5 * sin
    length = math.hypot(a, b)
    return (a / length * across + b / length * up).sub_(1.12 * b / length * r)


DISTANCES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "ring": _ring,
}
