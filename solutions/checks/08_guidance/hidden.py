"""Hidden checks of 08_guidance: criteria that only the grader knows, on the same probes."""

import torch

from coursekit.exercises.judge import close, number, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import (
    COUNT,
    DIMS,
    ETAS,
    LABELS,
    NONE,
    NUMBERS,
    SCALE,
    STEPS,
    draw,
    ends,
    many_labels,
    one_step,
    path_table,
)
from .visible import arcs, chosen, fault, labels, moves, run, spaced, stays_as_given, times_at


def lands_on_the_data(data: Plain, seed: int) -> str | None:
    s = one_step(seed)
    guess = (s["x_t"] - (1 - s["a_t"]).sqrt() * s["eps_hat"]) / s["a_t"].sqrt()
    if close(tensor(data, "last", (5, 3)), guess) and close(tensor(data, "last plain", (5, 3)), guess):
        return None
    return "At s = 0, where a_s is 1, the step should end at the guess of x_0, for every eta."


def none_and_all(data: Plain, seed: int) -> str | None:
    y = many_labels(seed)
    if not close(labels(data, "again"), labels(data, "dropped")):
        return "The same generator seed drops other labels. Pass `generator=generator` where you draw."
    if not close(labels(data, "kept"), y):
        return "With share = 0 all labels are kept."
    if close(labels(data, "all"), torch.full((LABELS,), NONE)):
        return None
    return "With share = 1 all labels are dropped."


def pictures_and_equals(data: Plain, seed: int) -> str | None:
    a, b = ends(seed + 5, 4, 1, 2, 3)
    if not close(tensor(data, "pictures", (4, 1, 2, 3)), arcs(a, b, 0.3)):
        return "Wrong for codes of images, (B, C, H, W)."
    same, _ = ends(seed, 5, 3)
    if close(tensor(data, "same", (5, 3)), same, atol=1e-6):
        return None
    return "Between a code and itself there is nothing but that code; the angle is 0."


def one_seed_one_sample(data: Plain, seed: int) -> str | None:
    stays_as_given(data, seed=seed)
    first, again = (tensor(data, f"x0 {key}", (COUNT, DIMS)) for key in (ETAS[2], "again"))
    if not close(again, first):
        return "The same generator seed gives other samples. Pass `generator=generator` where you draw."
    if close(first, tensor(data, f"x0 {ETAS[0]}", (COUNT, DIMS))):
        return "The samples are the same for every eta."
    a = path_table(seed)[4]
    pulled = (draw(seed + 1, COUNT, DIMS) + SCALE * (1 - a) * 0.5) / a.sqrt()
    if not close(tensor(data, "x0 short", (COUNT, DIMS)), pulled, rtol=1e-5, atol=1e-6):
        return "Wrong for a single step, from t = 4 to the data."
    rates = moves(data)[0]
    at = times_at(seed, rates.numel())
    if close(rates, (at["a_s"] / at["a_t"]).sqrt(), rtol=1e-5):
        return None
    return "The guess of x_0 goes into x_s with the factor sqrt(alpha_bar_s)."


def with_the_variance(data: Plain, seed: int) -> str | None:
    numbers = (*NUMBERS, 4 + seed % 5)
    got = torch.tensor([number(data, f"variance {n}") for n in numbers], dtype=torch.float64)
    right = torch.tensor([run("variance", n) for n in numbers], dtype=torch.float64)
    return None if close(got, right) else "Wrong for the factor 1 - alpha_bar after n steps."


def few_to_choose_from(data: Plain, seed: int) -> str | None:
    for key, last, n in (
        ("short", 60, STEPS),
        ("eight", 1000, 8),
        ("all", 20, 20),
        ("crowded", 60, 45),
        ("nearly all", 60, 55),
    ):
        hint = fault(chosen(data, key, n), last, n)
        if hint:
            return f"With n = {n} and T = {last}: {hint}"
    if chosen(data, "linear", STEPS) == chosen(data, "cosine", STEPS):
        return "The times are the same for every schedule."
    short, usual = chosen(data, "short", STEPS), spaced("short", torch.logit)
    return "Evenly spaced log-SNRs again." if short == usual else None


HIDDEN = {
    "ddim_step": (Criterion("the last step lands on the data", 1, lands_on_the_data),),
    "guided": (Criterion("none of them, and all of them", 1, none_and_all),),
    "invert": (Criterion("codes of images, and equal ones", 1, pictures_and_equals),),
    "few_steps": (),
    "guided_sample": (Criterion("one sample for one seed, and the right way", 1, one_seed_one_sample),),
    "wrong_factor": (Criterion("n steps with the variance", 1, with_the_variance),),
    "choose_times": (Criterion("few steps to choose from", 1, few_to_choose_from),),
}
