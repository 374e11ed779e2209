"""Hidden checks of 09_autoregressive: criteria that only the grader knows, on the same probes."""

import math

import torch

from coursekit.exercises.judge import close, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import (
    COLOUR_KERNELS,
    COUNT,
    GREYS,
    IMAGES,
    KERNELS,
    LONG,
    bets_on_images,
    deaf,
    draw,
    questions,
    told,
    uniform,
)
from .visible import as_given, drawn, in_colour, joint, paid, seen


def large_logits(data: Plain, seed: int) -> str | None:
    each = paid(*bets_on_images(seed, 2000.0)) / math.log(2)
    found = tensor(data, "sure bits", IMAGES[:1], finite=False)
    length = tensor(data, "sure length", IMAGES[:1], dtype=None, finite=False)
    if not (close(found, each.mean(1)) and close(length, each.sum(1).ceil() + 1)):
        return "Wrong for large logits: probabilities that a float cannot hold have ordinary logarithms."
    logits, x = bets_on_images(seed, 1.0)
    right = (paid(logits[:1], x[:1]) / math.log(2)).sum(1).ceil() + 1
    if close(tensor(data, "single length", (1,), dtype=None), right):
        return None
    return "Wrong for a single image."


def other_kernels(data: Plain, seed: int) -> str | None:
    for kind in ("A", "B"):
        for rows, columns in KERNELS[1:]:
            found = tensor(data, f"{kind} {rows}x{columns}", (rows, columns), dtype=None)
            if not close(found, seen(kind, rows, columns)):
                return f"Wrong for kernels of another shape: kind {kind}, {rows} by {columns}."
        rows, columns, n = COLOUR_KERNELS[1]
        found = tensor(data, f"{kind} {rows}x{columns} in {n}", (n, n, rows, columns), dtype=None)
        if not close(found, in_colour(kind, rows, columns, n)):
            return f"Wrong for {n} colours and kernels of {rows} by {columns}."
    return None


def heads(data: Plain, seed: int) -> str | None:
    as_given(data, seed=seed)
    q, k = questions(seed + 10, 2, 3)
    values = draw(seed + 12, 2, 3, q.shape[2], 5)
    found = tensor(data, "heads", values.shape)
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / 2
    weights = scores.exp() * torch.ones(q.shape[2], q.shape[2], dtype=torch.float64).tril()
    right = torch.einsum("bhij,bhje->bhie", weights / weights.sum(-1, keepdim=True), values)
    return None if close(found, right) else "Wrong for a batch with several heads."


def many_pixels(data: Plain, seed: int) -> str | None:
    log_cond, log_prior = told(seed, LONG)
    right = joint(log_cond, log_prior).logsumexp(0)
    found = tensor(data, "long likelihood", (COUNT,), finite=False)
    bets = tensor(data, "long bets", (COUNT, LONG), finite=False)
    if close(found, right[:, -1]) and close(bets, right.diff(dim=1), atol=1e-7):
        return None
    return "Wrong for images of many pixels: their probability is too small for a float. Stay in logarithms."


def frozen(data: Plain, seed: int) -> str | None:
    best = deaf(seed).argmax(-1).double()
    if not close(drawn(data, "zero").double(), best):
        return "At temperature 0 it should be the largest logit."
    if close(drawn(data, "steps").double(), (uniform(seed) * GREYS).floor()):
        return None
    return "Where u is F_k exactly, the level is k + 1: u_i < F_k."


HIDDEN = {
    "bits": (Criterion("large logits, and a single image", 1, large_logits),),
    "mask": (Criterion("kernels of any odd shape", 1, other_kernels),),
    "price": (),
    "decoder": (Criterion("several heads", 1, heads),),
    "mixture": (Criterion("many pixels", 1, many_pixels),),
    "complete": (Criterion("temperature zero, and u on a step", 1, frozen),),
}
