"""What varies in a picture, how it is drawn at random, and which combinations are never trained on.

Factors are int64 tensors with one row per picture and one column per field; a value is an index into the
field's names, so ``SHAPES[factors[0, 0]]`` is the shape of the first picture. Three kinds of rows:

- one object   ``FIELDS``        (N, 6)  1296 combinations
- two objects  ``SCENE_FIELDS``  (N, 6)  8640 combinations (the colours differ)
- a clip       ``CLIP_FIELDS``   (N, 4)   504 combinations
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from dgm.tensor import draw_device

SHAPES = ("circle", "square", "triangle", "cross", "star", "ring")
COLOURS = ("red", "orange", "yellow", "green", "blue", "pink")
SIZES = ("small", "big")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")
BACKGROUNDS = ("night", "day")
RELATIONS = ("left of", "right of", "above", "below")
MOTIONS = ("moves left", "moves right", "moves up", "moves down", "stays", "grows", "shrinks")

FIELDS = ("shape", "colour", "size", "row", "column", "background")
SCENE_FIELDS = ("shape", "colour", "relation", "other shape", "other colour", "background")
CLIP_FIELDS = ("shape", "colour", "motion", "background")

# How many values each field has.
COUNTS = (len(SHAPES), len(COLOURS), len(SIZES), len(ROWS), len(COLUMNS), len(BACKGROUNDS))
SCENE_COUNTS = (len(SHAPES), len(COLOURS), len(RELATIONS), len(SHAPES), len(COLOURS), len(BACKGROUNDS))
CLIP_COUNTS = (len(SHAPES), len(COLOURS), len(MOTIONS), len(BACKGROUNDS))

# sRGB, 0..255. Any two of these eight are at least 25 apart in CIELAB, also for protanopes and deuteranopes
# (simulated in tests/unit/test_shapes.py).
COLOUR_RGB = ((190, 30, 30), (220, 140, 15), (250, 240, 60), (20, 165, 110), (45, 95, 200), (215, 140, 205))
BACKGROUND_RGB = ((24, 26, 44), (240, 236, 224))

UNSAID = -1  # in a row that stands for a caption: the caption does not say this factor

HeldOut = Literal["exclude", "only", "include"]


@dataclass(frozen=True, eq=False)
class ShapeSet:
    """Pictures with the factors they were drawn from and the captions that describe them.

    Args:
        x: Images (N, 3, S, S), or clips (N, 8, 3, S, S), in [-1, 1].
        factors: int64 (N, number of fields).
        captions: N sentences.
        tokens: int64 (N, MAX_TOKENS), indices into VOCABULARY, filled up with PAD.
    """

    x: Tensor
    factors: Tensor
    captions: list[str]
    tokens: Tensor

    def __len__(self) -> int:
        return len(self.x)


def all_factors() -> Tensor:
    """Return every combination of one object's factors (1296, 6).

    Returns:
        int64 (1296, 6), columns as in FIELDS.
    """
    return _product(COUNTS)


def all_scene_factors() -> Tensor:
    """Return every combination of two objects' factors (8640, 6); the two colours differ.

    Returns:
        int64 (8640, 6), columns as in SCENE_FIELDS.
    """
    rows = _product(SCENE_COUNTS)
    return rows[rows[:, 1] != rows[:, 4]]


def all_clip_factors() -> Tensor:
    """Return every combination of a clip's factors (504, 4).

    Returns:
        int64 (504, 4), columns as in CLIP_FIELDS.
    """
    return _product(CLIP_COUNTS)


def is_held_out(shape: Tensor, colour: Tensor) -> Tensor:
    """Return where a shape has the colour of its own number (6 of 36 pairs): no model is trained on these.

    Args:
        shape: int64 (N,), indices into SHAPES.
        colour: int64 (N,), indices into COLOURS.

    Returns:
        bool (N,).
    """
    return shape == colour


def sample_factors(
    n: int, generator: torch.Generator | None = None, *, held_out: HeldOut = "exclude"
) -> Tensor:
    """Draw n rows of one object's factors (n, 6), uniform over the combinations that are allowed.

    Args:
        n: Number of rows.
        generator: Source of randomness.
        held_out: "exclude" leaves out the held-out pairs of shape and colour (for training), "only" draws
            nothing else (for measuring composition), "include" draws from all.

    Returns:
        int64 (n, 6), columns as in FIELDS.

    Raises:
        ValueError: If held_out is none of the three.
    """
    rows = all_factors()
    return _draw(rows, is_held_out(rows[:, 0], rows[:, 1]), n, generator, held_out)


def sample_scene_factors(
    n: int, generator: torch.Generator | None = None, *, held_out: HeldOut = "exclude"
) -> Tensor:
    """Draw n rows of two objects' factors (n, 6); as ``sample_factors``.

    "exclude": neither object is of a held-out pair; "only": at least one is.

    Args:
        n: Number of rows.
        generator: Source of randomness.
        held_out: As above.

    Returns:
        int64 (n, 6), columns as in SCENE_FIELDS.
    """
    rows = all_scene_factors()
    held = is_held_out(rows[:, 0], rows[:, 1]) | is_held_out(rows[:, 3], rows[:, 4])
    return _draw(rows, held, n, generator, held_out)


def sample_clip_factors(
    n: int, generator: torch.Generator | None = None, *, held_out: HeldOut = "exclude"
) -> Tensor:
    """Draw n rows of a clip's factors (n, 4); as ``sample_factors``.

    Args:
        n: Number of rows.
        generator: Source of randomness.
        held_out: What to do with the held-out pairs; see ``sample_factors``.

    Returns:
        int64 (n, 4), columns as in CLIP_FIELDS.
    """
    rows = all_clip_factors()
    return _draw(rows, is_held_out(rows[:, 0], rows[:, 1]), n, generator, held_out)


def canonical_scenes(factors: Tensor) -> Tensor:
    """Return the same scenes (N, 6) told with "left of" and "above" only.

    "A right of B" and "B left of A" are one picture; compare canonical rows to compare pictures.

    Args:
        factors: int64 (N, 6), columns as in SCENE_FIELDS.

    Returns:
        int64 (N, 6), a new tensor.
    """
    swapped = factors[:, [3, 4, 2, 0, 1, 5]]
    swapped[:, 2] -= 1  # right of -> left of, below -> above
    return torch.where(factors[:, 2:3] % 2 == 1, swapped, factors)


def forget(factors: Tensor, rate: float, generator: torch.Generator | None = None) -> Tensor:
    """Return factors (N, 6) in which size, place and background are each UNSAID with probability ``rate``.

    ``describe`` makes short captions of such rows: "a red circle by day". Row and column are forgotten
    together.

    Args:
        factors: int64 (N, 6), columns as in FIELDS.
        rate: Probability of each to be left unsaid, in [0, 1].
        generator: Source of randomness.

    Returns:
        int64 (N, 6), a new tensor.
    """
    draws = torch.rand(len(factors), 3, generator=generator, device=factors.device)
    size, place, background = (draws < rate).unbind(dim=1)
    said = torch.zeros_like(size)  # shape and colour are always said
    unsaid = torch.stack([said, said, size, place, place, background], dim=1)  # (N, 6)
    return factors.masked_fill(unsaid, UNSAID)


def check_factors(factors: Tensor, fields: tuple[str, ...], counts: tuple[int, ...]) -> None:
    """Raise ValueError unless the rows are int64 indices (N, len(fields)) below the counts."""
    if factors.dim() != 2 or factors.shape[1] != len(fields):
        raise ValueError(f"factors must have shape (N, {len(fields)}) = {fields}, got {tuple(factors.shape)}")
    if factors.dtype != torch.int64:
        raise ValueError(f"factors must be int64 indices, got {factors.dtype}; use factors.long()")
    for column, (field, count) in enumerate(zip(fields, counts, strict=True)):
        wrong = (factors[:, column] < 0) | (factors[:, column] >= count)
        if wrong.any():
            value = int(factors[wrong.nonzero()[0, 0], column])
            raise ValueError(f"{field} must be in 0..{count - 1}, got {value}")


def _product(counts: tuple[int, ...]) -> Tensor:
    return torch.cartesian_prod(*(torch.arange(count) for count in counts))


def _draw(rows: Tensor, held: Tensor, n: int, generator: torch.Generator | None, held_out: HeldOut) -> Tensor:
    if held_out not in get_args(HeldOut):
        raise ValueError(f"held_out must be one of {get_args(HeldOut)}, got {held_out!r}")
    if held_out != "include":
        rows = rows[held if held_out == "only" else ~held]
    device = draw_device(generator)
    return rows.to(device)[torch.randint(len(rows), (n,), generator=generator, device=device)]
