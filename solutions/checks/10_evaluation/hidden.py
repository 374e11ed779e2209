"""Hidden checks of 10_evaluation: criteria that only the grader knows, on the same probes."""

import math

import torch

from coursekit.exercises.judge import close, number, tensor
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import (
    CLASSES,
    IMAGES,
    ODD_CROWD,
    PIXELS,
    RANKS,
    SETS,
    THIN,
    extreme,
    gaussians,
    levels,
    log_weights,
    pairs_of_two,
    variances,
)
from .visible import entropy, fresh, gap, hidden_copies, nuclear, rank_score, three_shares, untouched


def bounds(data: Plain, seed: int) -> str | None:
    if not close(number(data, "all alike"), 1.0):
        return "If all verdicts are the same, the score is 1."
    if not close(number(data, "one each"), CLASSES, rtol=1e-6):
        return "If the verdicts are sure and even, the score is the number of classes."
    right = entropy(extreme().softmax(1).mean(0)).exp()
    return None if close(number(data, "extreme score"), right) else "Wrong where a class never occurs."


def thin(data: Plain, seed: int) -> str | None:
    for pair in range(THIN):
        (m, a), (n, b) = gaussians(seed + 11 * pair + 40, RANKS)
        right = float((m - n).square().sum() + a.square().sum() + b.square().sum()) - 2 * nuclear(a, b)
        if not close(number(data, f"low rank {pair}"), right, rtol=1e-5, atol=1e-5):
            return "Wrong for covariances of low rank."
    if not close(number(data, "equal"), 0.0, atol=1e-5):
        return "The distance of a Gaussian to itself is not 0."
    return None if close(number(data, "line"), 9.5625) else "Wrong for a single feature."


def least(data: Plain, seed: int) -> str | None:
    (a, b), (c, d) = (t[:, 0].tolist() for t in pairs_of_two(seed))
    between = sum((p * q + 1) ** 3 for p in (a, b) for q in (c, d)) / 2
    right = (a * b + 1) ** 3 + (c * d + 1) ** 3 - between
    return None if close(number(data, "least"), right) else "Wrong for two samples of a single feature each."


def same_and_apart(data: Plain, seed: int) -> str | None:
    untouched(data, seed=seed)
    if not close(three_shares(data, "same"), torch.ones(3)):
        return "If the samples are the real points, all three figures are 1."
    apart = three_shares(data, "apart")
    return None if close(apart, torch.zeros(3)) else "If the two sets are far apart, all three figures are 0."


def silent(data: Plain, seed: int) -> str | None:
    v = variances(seed, 3).tolist()
    right = sum(v) + sum(p * q / (p + q) for p in v for q in v) / 2 + sum(v) / 4
    if close(number(data, "silent"), right):
        return None
    return "Wrong where features never vary: they add nothing, and 0 / 0 is NaN."


def one_of_each(data: Plain, seed: int) -> str | None:
    fresh(data, seed=seed)
    log_w = log_weights(seed)
    per_nat = 1 / (PIXELS * torch.tensor(2.0).double().log())
    if not close(number(data, "one draw"), -log_w[0].mean() * per_nat):
        return "With one draw for each image the report is that of the mean log w."
    right = -((log_w[:, 0]).exp().mean().log() - 3000) * per_nat
    if not close(number(data, "one image"), right):
        return "Wrong for one image whose weights are near exp(-3000)."
    shifted = tensor(data, "tiny", (IMAGES,)) - tensor(data, "evidence", (IMAGES,))
    return None if close(shifted, torch.full((IMAGES,), -2000.0)) else "Weights 2000 nats smaller: wrong."


def extremes(data: Plain, seed: int) -> str | None:
    if not close(number(data, "chance of none"), 1.0):
        return "That no sample or more are nearer is certain."
    if not close(number(data, "chance of all"), 1 / math.comb(5 + SETS[1], 5)):
        return "Wrong where all samples are nearer than every held-out row."
    samples, held_out, train = levels(seed)
    right = rank_score(gap(samples, train), gap(held_out, train))
    return None if close(number(data, "levels"), right) else "Wrong on a grid, where many are equally far."


def odd_crowd(data: Plain, seed: int) -> str | None:
    return hidden_copies(data, seed, "hide odd", ODD_CROWD)


HIDDEN = {
    "scores": (Criterion("from 1 to K", 1, bounds),),
    "frechet": (Criterion("low rank, equal, and on the line", 1, thin),),
    "kid": (Criterion("two samples", 1, least),),
    "balls": (Criterion("the same, and far apart", 1, same_and_apart),),
    "unlike": (Criterion("features that never vary", 1, silent),),
    "likely": (),
    "bits": (Criterion("one draw, one image", 1, one_of_each),),
    "copies": (Criterion("none, all, and ties", 1, extremes), Criterion("an odd number", 1, odd_crowd)),
}
