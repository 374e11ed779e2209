"""Hidden checks of 03_gan: criteria that only the grader knows, on the same probes."""

from typing import Any

import torch

from coursekit.exercises.judge import WHOLE, close, number, passages, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import draw, log_densities, two_steps
from .visible import clear, judge_cost, path, same_path, stands, supremum, surprise, two_kls


def both_ways(data: Plain, seed: int) -> str | None:
    p_x, q_x, p_y, q_y = log_densities(seed)
    if abs(number(data, "equal")) > 1e-9:
        return "JS of a density and itself is 0."
    if close(number(data, "swapped"), sum(two_kls(p_x, q_x, p_y, q_y)) / 2):
        return None
    return "With the roles of p and q swapped JS is the same number."


def smooth_and_far(data: Plain, seed: int) -> str | None:
    if passages(data, "judge slopes", 2) != [WHOLE] * 2 or passages(data, "forger slopes", 1) != [WHOLE]:
        return "The gradient that reaches the logits is not that of the values: look for detach()."
    if close(tensor(data, "smooth far", (5,)), torch.full((5,), 1.2e4), rtol=1e-6):
        return None
    return "With a = 0.8 a judge who is sure of a real sample pays 0.2 times its logit."


def right_step(*given: Any) -> None:
    forger, judge, of_forger, of_judge, real, noise = given
    of_judge.zero_grad()
    judge_cost(judge, real, forger(noise).detach()).backward()
    of_judge.step()
    of_forger.zero_grad()
    surprise(judge(forger(noise)), 1.0).mean().backward()
    of_forger.step()


def two_whole_steps(data: Plain, seed: int) -> str | None:
    if same_path(path(data, seed), two_steps(right_step, seed)):
        return None
    return "After two steps both players should be where two steps on their own losses lead."


def repeatable(data: Plain, seed: int) -> str | None:
    if not close(number(data, "again 0"), number(data, "again 1")):
        return "The same two sets should get the same score each time."
    if stands(*clear(data, "leaves out", "other", "other ")):
        return None
    return "Wrong for 250 forged points against 500 real ones."


def at_the_edge(data: Plain, seed: int) -> str | None:
    t = -3 + 1e-3 * draw(seed + 1, 6)
    right, _ = supremum(tuple(t.tolist()))
    if close(tensor(data, "near the edge", (6,)), right, rtol=1e-8, atol=1e-10):
        return None
    return "Wrong close to t = -3, where the two pieces of the conjugate meet."


HIDDEN = {
    "js": (Criterion("equal densities, and the roles swapped", 1, both_ways),),
    "losses": (Criterion("gradients, and smoothing far out", 1, smooth_and_far),),
    "train_step": (Criterion("two whole steps", 1, two_whole_steps),),
    "left_out": (),
    "score": (Criterion("the same every time, and for other sizes", 1, repeatable),),
    "triangular": (Criterion("where the pieces of the conjugate meet", 1, at_the_edge),),
}
