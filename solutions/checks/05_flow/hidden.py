"""Hidden checks of 05_flow: criteria that only the grader knows, on the same probes."""

import math

import torch

from coursekit.exercises.judge import close, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import FEW_LEVELS, FEW_SHAPE, GRID, LARGE, grey, network, rows, squares
from .visible import asked, bits, part, stack_of


def area(data: Plain, seed: int) -> str | None:
    log_p = tensor(data, "grid", (len(GRID),))
    if abs(float(torch.trapezoid(log_p.exp(), GRID)) - 1) < 1e-5:
        return None
    return "For a falling map made of two others, the density does not integrate to one."


def six_entries(data: Plain, seed: int) -> str | None:
    x = 2 * rows(seed, 6)
    s, _ = network(seed + 1, 3, size=1.5)(x[:, :3])
    if not close(part(data, "wide", 1, (3,)), s.sum(1)):
        return "Wrong log-determinant for six entries and scales far from one."
    if not close(part(data, "wide back", 0, (3, 6)), x, atol=1e-6):
        return "The inverse does not undo the map for six entries and scales far from one."
    if close(part(data, "wide back", 1, (3,)), -s.sum(1), atol=1e-6):
        return None
    return "Wrong log-determinant of the inverse for six entries and scales far from one."


def five_layers(data: Plain, seed: int) -> str | None:
    return stack_of(data, seed, "five", 5, 3)


def colours(data: Plain, seed: int) -> str | None:
    v = asked(data, "few noise", FEW_SHAPE)
    u = v * FEW_LEVELS - grey(seed, FEW_LEVELS, FEW_SHAPE)
    if float((u - 0.5).abs().max()) > 0.5 + 1e-5:
        return "With two grey levels the noise leaves [0, 1)."
    dims = math.prod(FEW_SHAPE[1:])
    right = -(squares(v) - dims * math.log(FEW_LEVELS)) / (dims * math.log(2))
    if close(bits(data, "few", FEW_SHAPE[0]), right, rtol=1e-4, atol=1e-4):
        return None
    return "Wrong for a single colour image that is not square, with two levels."


def large_rates(data: Plain, seed: int) -> str | None:
    rate = torch.tensor(LARGE, dtype=torch.float64)
    flat = tensor(data, "large", (len(LARGE),), finite=False)
    leaning = tensor(data, "large tilted", (len(LARGE),), finite=False)
    if close(flat, rate / 2 - rate.log()) and close(leaning, torch.full_like(rate, 1 - math.log(2))):
        return None
    return "Wrong for rates of 60 to 2000. exp of a large positive number overflows; exp(-k) does not."


HIDDEN = {
    "pushed_log_prob": (Criterion("an area of one", 1, area),),
    "coupling": (Criterion("six entries, scales far from one", 1, six_entries),),
    "stack_log_prob": (Criterion("five layers of six entries", 1, five_layers),),
    "bits_per_dim": (Criterion("a single colour image of two levels", 1, colours),),
    "bridge": (),
    "uniform_gap": (Criterion("large rates", 1, large_rates),),
}
