"""Hidden checks of 04_wgan: criteria that only the grader knows, on the same probes."""

import torch

from coursekit.exercises.judge import close, number, returned, tensor, tensors
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import (
    LIMIT,
    NARROWER,
    coarse,
    critic_batches,
    critics,
    draw,
    layer,
    on_the_line,
    shifted,
    two_gaussians,
)
from .visible import critic_cost, critic_of_two, exact, loaded, looked_at, narrow_path, transport


def odd_samples(data: Plain, seed: int) -> str | None:
    pair = on_the_line(seed, 7, 7)
    if not close(number(data, "coarse"), exact(*coarse(seed))):
        return "Wrong for samples with equal points in them."
    if not close(number(data, "multiple"), exact(*pair)):
        return "Every point of y twice is the same distribution."
    if close(number(data, "alone"), float((pair[0] - pair[1][0]).abs().mean())):
        return None
    return "A single point takes all of the earth: W1 is the mean distance to it."


def repeatable_and_flat(data: Plain, seed: int) -> str | None:
    once, twice, other = (looked_at(data, seed, key)[1] for key in ("images", "again", "other"))
    if not close(once, twice):
        return "The same generator seed gives other points. Pass `generator=generator` where you draw."
    if close(once, other):
        return "Every generator seed gives the same points."
    slope = draw(seed + 4, 4).norm()
    if close(tensor(data, "linear", (6,)), (slope - 1).square().expand(6)):
        return None
    return "For a linear critic f(x) = w x of points (B, D) the penalty is (|w| - 1)² for each."


def returned_estimate(data: Plain, seed: int) -> str | None:
    walked = narrow_path(data, seed)
    estimates = tensors(data, "narrow", [walked[0].shape] * 3 + [()] * 2)[3:]
    for at, got, (real, fake) in zip(walked, estimates, critic_batches(seed), strict=False):
        if not close(got, -critic_cost(loaded(seed, at), real, fake), rtol=1e-5):
            return (
                "critic_step should return mean f(real) - mean f(fake), as the critic was before the update."
            )
    left = torch.linalg.svd(layer(seed)[0]).U[:, 0]
    _, u = tensors(data, "stretch", [(), (5,)])
    if close(u.abs(), left.abs(), rtol=1e-4, atol=1e-5):
        return None
    return "`stretch` should return u with length one, where the next call can start."


def other_sizes(data: Plain, seed: int) -> str | None:
    limit = transport(seed + 6, 4, 6)
    if any(number(data, f"{name}, other sizes") > limit * (1 + 1e-9) for name in critics(seed)):
        return "Too large for four real points against six forged ones."
    if number(data, "constant") != 0:
        return "A constant critic proves nothing: 0."
    *_, shift = shifted(seed)
    value = returned(data, "shared point")
    nan = "nan" in (value.get("value"), *value.get("values", ()))
    if not nan and close(number(data, "shared point"), 12 / 13 * float(shift.norm())):
        return None
    return "Wrong where a point is in both samples: its rise over its distance is 0 / 0."


def limits(data: Plain, seed: int) -> str | None:
    m1, _, m2, _ = two_gaussians(seed)
    if not close(tensor(data, "equal", (6,)), torch.zeros(6)):
        return "A Gaussian has distance 0 from itself."
    if not close(tensor(data, "nearly", (6,)), (m1 - m2).abs(), atol=1e-7):
        return "Wrong for widths that are nearly equal."
    hint = critic_of_two(data, "narrow", NARROWER)
    return hint and f"Where the data are the narrow ones: {hint}"


HIDDEN = {
    "w1": (Criterion("equal points, and a single one", 1, odd_samples),),
    "penalty": (Criterion("noise of the generator, and samples of any shape", 1, repeatable_and_flat),),
    "critic_step": (Criterion("what both functions return", 1, returned_estimate),),
    "slide": (),
    "certified": (Criterion("other sizes, a constant critic, a shared point", 1, other_sizes),),
    "gaussians": (Criterion("limits, and the other critic", 1, limits),),
}
