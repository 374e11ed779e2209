"""Hidden checks of 06_glow: criteria that only the grader knows, on the same probes."""

import math

import torch

from coursekit.exercises.judge import close, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import (
    COUNT,
    DIMS,
    FEW_LEVELS,
    FEW_SHAPE,
    draw,
    factors,
    grey,
    scales,
    with_constant,
)
from .visible import ANY_FLOAT, RIGHT, asked, board, entries, latents, part, pieces, untouched, verdict


def other_shapes(data: Plain, seed: int) -> str | None:
    if board(data, seed, "odd", 3, 5):
        return "Wrong checkerboard for an odd number of rows and columns."
    wide = draw(seed + 1, 1, 2, 8, 2)
    if entries(data, seed, "wide", wide) or not close(tensor(data, "wide back", (1, 2, 8, 2)), wide):
        return "Wrong for two channels of 8 x 2 pixels."
    return None


def constant_channel(data: Plain, seed: int) -> str | None:
    x = with_constant(seed)
    z = part(data, "constant", 0, tuple(x.shape))
    if float(z[:, 1].abs().max()) > 1e-6:
        return "A channel that is constant in the first batch should leave as zeros."
    rest = ((z[1] - z[2]) / (x[1] - x[2]))[[0, 2]].abs().log().sum()
    if close(part(data, "constant", 1, (6,), dtype=ANY_FLOAT), rest.expand(6), rtol=1e-5, atol=1e-6):
        return None
    return (
        "A channel that is constant in the first batch is only shifted: it adds nothing to the determinant."
    )


def far_factors(data: Plain, seed: int) -> str | None:
    x, (*_, d) = draw(seed + 4, 2, 5, 3, 1), factors(seed + 5, 5, size=3.0)
    if not close(part(data, "wide", 1, (2,)), 3 * d.sum().expand(2)):
        return "Wrong log-determinant for five channels of 3 x 1 pixels."
    if not close(part(data, "wide back", 0, tuple(x.shape)), x, rtol=1e-4, atol=1e-5):
        return "The inverse does not undo the map for five channels of 3 x 1 pixels and scales far from one."
    if close(part(data, "wide back", 1, (2,)), -3 * d.sum().expand(2)):
        return None
    return "Wrong log-determinant of the inverse for five channels of 3 x 1 pixels."


def three_scales(data: Plain, seed: int) -> str | None:
    untouched(data, seed)  # the flows it was given
    h = asked(data, "three noise", FEW_SHAPE)
    u = h * FEW_LEVELS - grey(seed, FEW_LEVELS, FEW_SHAPE)
    dims = math.prod(FEW_SHAPE[1:])
    nats = sum(pieces(h, scales(seed + 1, FEW_SHAPE, 3))) - dims * math.log(FEW_LEVELS)
    got = tensor(data, "three", (FEW_SHAPE[0],), dtype=ANY_FLOAT)
    whole = float((u - 0.5).abs().max()) < 0.5 + 1e-4 and float(u.max()) > 0.51
    if whole and close(got, nats, rtol=1e-4, atol=1e-3):
        return None
    return "Wrong for a single image with three scales and three levels."


def repeatable_and_frozen(data: Plain, seed: int) -> str | None:
    first, again, other = (latents(data, key) for key in ("z", "again", "other"))
    if not close(again, first):
        return "The same generator seed gives other samples. Pass `generator=generator` where you draw."
    if close(first, other):
        return "Every generator seed gives the same samples."
    if close(tensor(data, "frozen", (COUNT, DIMS), dtype=ANY_FLOAT), torch.ones(COUNT, DIMS), atol=1e-6):
        return None
    return "At temperature 0 every latent is 0, and all samples are the image of that point."


def rows_apart(data: Plain, seed: int) -> str | None:
    if not all([verdict(data, key) for key in RIGHT]):
        return "As long as right flows are rejected, a rejection says nothing."
    if verdict(data, "rows"):
        return "This gets through: a coupling whose network reads the mean of the whole batch."
    return None


HIDDEN = {
    "squeeze": (Criterion("other shapes", 1, other_shapes),),
    "actnorm": (Criterion("a channel that is constant", 1, constant_channel),),
    "conv": (Criterion("five channels, scales far from one", 1, far_factors),),
    "multiscale_log_prob": (Criterion("three scales, a single image", 1, three_scales),),
    "temperature": (Criterion("repeatable, and temperature zero", 1, repeatable_and_frozen),),
    "sound": (Criterion("rows that see each other are found out", 1, rows_apart),),
}
