"""Two objects of different colours, side by side or one above the other."""

import torch
from torch import Tensor

from dgm.data.shapes.captions import describe_scenes, tokenise
from dgm.data.shapes.draw import backgrounds, colours, coverage, paint
from dgm.data.shapes.factors import (
    SCENE_COUNTS,
    SCENE_FIELDS,
    HeldOut,
    ShapeSet,
    check_factors,
    sample_scene_factors,
)
from dgm.tensor import check_shape, draw_device

# In units of the side.
RADIUS = 0.2
RADIUS_JITTER = 0.05  # as a fraction of the radius
APART = 0.23  # distance of each centre from the middle, along the axis of the relation
ACROSS_JITTER = 0.04

# Where the first object stands for each of RELATIONS, as (x, y); the second stands opposite.
DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def sample_scene_jitter(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw n jitters (n, 2, 2), uniform on [-1, 1]: for each object, across the axis and of the radius.

    Args:
        n: Number of pictures.
        generator: Source of randomness.

    Returns:
        (n, 2, 2), on the device of the generator.
    """
    device = draw_device(generator)
    return 2 * torch.rand(n, 2, 2, generator=generator, device=device) - 1


def render_scenes(factors: Tensor, size: int = 16, jitter: Tensor | None = None) -> Tensor:
    """Draw two objects per row of factors.

    Args:
        factors: int64 (N, 6), columns as in SCENE_FIELDS.
        size: Pixels along each side, at least 16.
        jitter: (N, 2, 2) in [-1, 1] from ``sample_scene_jitter``; None draws every object in its place.

    Returns:
        Images (N, 3, size, size) in [-1, 1], in the dtype of the jitter, else float32.

    Raises:
        ValueError: If factors or size are out of range, or the jitter's shape does not fit.
    """
    check_factors(factors, SCENE_FIELDS, SCENE_COUNTS)
    if jitter is None:
        jitter = torch.zeros(len(factors), 2, 2, device=factors.device)
    check_shape("jitter", jitter, (len(factors), 2, 2), "one per picture and object")
    first = torch.tensor(DIRECTIONS, dtype=jitter.dtype, device=jitter.device)[factors[:, 2]]  # (N, 2)
    canvas = backgrounds(factors[:, 5], jitter.dtype)[:, :, None, None]  # (N, 3, 1, 1)
    for number, (direction, fields) in enumerate(((first, (0, 1)), (-first, (3, 4)))):
        shape, colour = factors[:, fields[0]], factors[:, fields[1]]
        x, y, radius = slot(direction, jitter[:, number])
        canvas = paint(canvas, coverage(shape, x, y, radius, size), colours(colour, jitter.dtype))
    return canvas


def scenes(
    n: int, size: int = 16, generator: torch.Generator | None = None, *, held_out: HeldOut = "exclude"
) -> ShapeSet:
    """Draw n captioned pictures of two objects; arguments as for ``shapes``.

    Args:
        n: Number of pictures.
        size: Pixels along each side, at least 16.
        generator: Source of randomness.
        held_out: What to do with the held-out pairs; see ``sample_factors``.

    Returns:
        ShapeSet with x (n, 3, size, size).
    """
    factors = sample_scene_factors(n, generator, held_out=held_out)
    x = render_scenes(factors, size, sample_scene_jitter(n, generator))
    captions = describe_scenes(factors)
    return ShapeSet(x, factors, captions, tokenise(captions).to(x.device))


def slot(direction: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return centre x, centre y and radius, each (N,), of objects in a direction (N, 2) from the middle.

    The jitter (N, 2) moves across the axis and changes the radius.
    """
    across = direction.abs().flip(1)  # (N, 2): the other axis
    centre = 0.5 + APART * direction + ACROSS_JITTER * jitter[:, :1] * across
    return centre[:, 0], centre[:, 1], RADIUS * (1 + RADIUS_JITTER * jitter[:, 1])
