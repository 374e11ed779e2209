"""Clips of eight frames: one object that moves, stays, grows or shrinks."""

import torch
from torch import Tensor

from dgm.data.shapes.captions import describe_clips, tokenise
from dgm.data.shapes.draw import backgrounds, colours, coverage, paint
from dgm.data.shapes.factors import (
    CLIP_COUNTS,
    CLIP_FIELDS,
    HeldOut,
    ShapeSet,
    check_factors,
    sample_clip_factors,
)
from dgm.tensor import check_shape, draw_device

FRAMES = 8

# In units of the side.
RADIUS = 0.2
GROWTH = 0.08  # a growing object's radius runs from RADIUS - GROWTH to RADIUS + GROWTH
STEP = 1 / 16  # the way from frame to frame: one pixel at 16 pixels
START_JITTER = 0.03

# For each of MOTIONS the sign of the change of (x, y, radius).
CHANGES = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, 0), (0, 0, 1), (0, 0, -1))


def sample_clip_jitter(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw n jitters (n, 2), uniform on [-1, 1]: of x and y, the same in all frames of a clip.

    Args:
        n: Number of clips.
        generator: Source of randomness.

    Returns:
        (n, 2), on the device of the generator.
    """
    device = draw_device(generator)
    return 2 * torch.rand(n, 2, generator=generator, device=device) - 1


def render_clips(factors: Tensor, size: int = 16, jitter: Tensor | None = None) -> Tensor:
    """Draw a clip per row of factors; every path is centred in the picture.

    Args:
        factors: int64 (N, 4), columns as in CLIP_FIELDS.
        size: Pixels along each side, at least 16.
        jitter: (N, 2) in [-1, 1] from ``sample_clip_jitter``; None draws every path exactly in its place.

    Returns:
        Clips (N, 8, 3, size, size) in [-1, 1], frames first, in the dtype of the jitter, else float32.

    Raises:
        ValueError: If factors or size are out of range, or the jitter's shape does not fit.
    """
    check_factors(factors, CLIP_FIELDS, CLIP_COUNTS)
    if jitter is None:
        jitter = torch.zeros(len(factors), 2, device=factors.device)
    check_shape("jitter", jitter, (len(factors), 2), "one row per clip")
    x, y, radius = (part.flatten() for part in path(factors[:, 2], jitter))  # each (N * 8,)
    shape, colour, _, background = factors.repeat_interleave(FRAMES, dim=0).unbind(dim=1)
    canvas = backgrounds(background, jitter.dtype)[:, :, None, None]  # (N * 8, 3, 1, 1)
    frames = paint(canvas, coverage(shape, x, y, radius, size), colours(colour, jitter.dtype))
    return frames.view(len(factors), FRAMES, 3, size, size)


def clips(
    n: int, size: int = 16, generator: torch.Generator | None = None, *, held_out: HeldOut = "exclude"
) -> ShapeSet:
    """Draw n captioned clips; arguments as for ``shapes``.

    Args:
        n: Number of clips.
        size: Pixels along each side, at least 16.
        generator: Source of randomness.
        held_out: What to do with the held-out pairs; see ``sample_factors``.

    Returns:
        ShapeSet with x (n, 8, 3, size, size).
    """
    factors = sample_clip_factors(n, generator, held_out=held_out)
    x = render_clips(factors, size, sample_clip_jitter(n, generator))
    captions = describe_clips(factors)
    return ShapeSet(x, factors, captions, tokenise(captions).to(x.device))


def path(motion: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return centre x, centre y and radius, each (N, 8), of the motions (N,) with jitters (N, 2)."""
    change = torch.tensor(CHANGES, dtype=jitter.dtype, device=jitter.device)[motion]  # (N, 3)
    frame = torch.arange(FRAMES, dtype=jitter.dtype, device=jitter.device) - (FRAMES - 1) / 2  # -3.5 .. 3.5
    x, y = (
        0.5 + START_JITTER * jitter[:, axis, None] + STEP * frame * change[:, axis, None] for axis in range(2)
    )
    return x, y, RADIUS + GROWTH * frame / frame[-1] * change[:, 2, None]
