"""One object: 1296 combinations of six factors, each drawn with a little jitter."""

import torch
from torch import Tensor

from dgm.data.shapes.captions import describe, tokenise
from dgm.data.shapes.draw import backgrounds, colours, coverage, paint
from dgm.data.shapes.factors import COUNTS, FIELDS, HeldOut, ShapeSet, check_factors, sample_factors
from dgm.tensor import check_shape, draw_device

# In units of the side.
RADII = (0.16, 0.26)
CENTRES = (0.26, 0.5, 0.74)
CENTRE_JITTER = 0.03  # half a pixel at 16 pixels; more of it makes the shape much harder to learn
RADIUS_JITTER = 0.06  # as a fraction of the radius


def sample_jitter(n: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw n jitters (n, 3), uniform on [-1, 1]: of x, y and radius, in units of the largest jitter.

    Args:
        n: Number of pictures.
        generator: Source of randomness.

    Returns:
        (n, 3), on the device of the generator.
    """
    device = draw_device(generator)
    return 2 * torch.rand(n, 3, generator=generator, device=device) - 1


def render(factors: Tensor, size: int = 16, jitter: Tensor | None = None) -> Tensor:
    """Draw one object per row of factors.

    Args:
        factors: int64 (N, 6), columns as in FIELDS.
        size: Pixels along each side, at least 16.
        jitter: (N, 3) in [-1, 1] from ``sample_jitter``; None draws every object exactly in its place.

    Returns:
        Images (N, 3, size, size) in [-1, 1], in the dtype of the jitter, else float32.

    Raises:
        ValueError: If factors or size are out of range, or the jitter's shape does not fit.
    """
    check_factors(factors, FIELDS, COUNTS)
    if jitter is None:
        jitter = torch.zeros(len(factors), 3, device=factors.device)
    check_shape("jitter", jitter, (len(factors), 3), "one row per picture")
    x, y, radius = geometry(factors, jitter)
    canvas = backgrounds(factors[:, 5], jitter.dtype)[:, :, None, None]  # (N, 3, 1, 1)
    cover = coverage(factors[:, 0], x, y, radius, size)  # (N, S, S)
    return paint(canvas, cover, colours(factors[:, 1], jitter.dtype))


def shapes(
    n: int, size: int = 16, generator: torch.Generator | None = None, *, held_out: HeldOut = "exclude"
) -> ShapeSet:
    """Draw n captioned pictures of one object.

    Args:
        n: Number of pictures.
        size: Pixels along each side, at least 16.
        generator: Source of randomness; the same seed gives the same factors and jitter at every size.
        held_out: What to do with the held-out pairs; see ``sample_factors``.

    Returns:
        ShapeSet with x (n, 3, size, size).
    """
    factors = sample_factors(n, generator, held_out=held_out)
    x = render(factors, size, sample_jitter(n, generator))
    captions = describe(factors)
    return ShapeSet(x, factors, captions, tokenise(captions).to(x.device))


def geometry(factors: Tensor, jitter: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return centre x, centre y and radius, each (N,), in units of the side, of jittered objects."""
    centres = torch.tensor(CENTRES, dtype=jitter.dtype, device=jitter.device)
    radii = torch.tensor(RADII, dtype=jitter.dtype, device=jitter.device)
    x = centres[factors[:, 4]] + CENTRE_JITTER * jitter[:, 0]
    y = centres[factors[:, 3]] + CENTRE_JITTER * jitter[:, 1]
    return x, y, radii[factors[:, 2]] * (1 + RADIUS_JITTER * jitter[:, 2])
