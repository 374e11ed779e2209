"""Hidden checks of 00_start: criteria that only the grader knows, on the same probes."""

import math

import torch

from coursekit.exercises.judge import close, numbers, tensor, tensors
from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion

from .probes import classes, distributions, mixture, with_zeros
from .visible import obstacle


def impossible_class(data: Plain, seed: int) -> str | None:
    log_likelihood, _ = classes(seed)
    log_px, log_posterior = tensors(data, "impossible", [(5,), (5, 3)], finite=False)
    joint = log_likelihood[:, :2] + math.log(0.5)
    expected = torch.logaddexp(joint[:, 0], joint[:, 1])
    if not close(log_px, expected) or not close(log_posterior[:, :2], joint - expected[:, None]):
        return "A class of prior probability zero should change nothing for the others."
    if not bool((log_posterior[:, 2] == -math.inf).all()):
        return "A class of prior probability zero should have log posterior minus infinity."
    return None


def outside_support(data: Plain, seed: int) -> str | None:
    p, q = distributions(seed)
    q = with_zeros(q)
    expected = torch.where(q > 0, p * (p / q.clamp_min(1e-300)).log(), math.inf).sum(1)
    if close(tensor(data, "outside", (4,), finite=False), expected):
        equal = tensor(data, "equal", (4,), finite=False)
        return None if close(equal, torch.zeros(4)) else "For equal arguments with zeros the KL is 0."
    return "Where q is zero and p is not, the KL is infinite. A small number inside the logarithm hides that."


def one_component(data: Plain, seed: int) -> str | None:
    _, means, stds = mixture(seed)
    if close(torch.tensor(numbers(data, "single", 2)), torch.stack([means[0], stds[0]])):
        return None
    return "For a mixture of one component the answer is that component."


def odd_number(data: Plain, seed: int) -> str | None:
    return obstacle(data, seed, "odd", 301)


HIDDEN = {
    "from_joint": (Criterion("a class that cannot occur", 1, impossible_class),),
    "kl_categorical": (Criterion("zeros in q", 1, outside_support),),
    "moment_match": (Criterion("a single component", 1, one_component),),
    "prediction": (),
    "two_ways": (Criterion("another number of rows", 1, odd_number),),
}
