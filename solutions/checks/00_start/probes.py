"""Probes of 00_start: they try the answers on seeded inputs and write down what came out."""

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain, Probe, call, plain

# The mixture of the task "prediction".
WEIGHTS, MEANS, STDS = (0.65, 0.35), (-2.0, 2.0), (0.6, 0.6)


def classes(seed: int) -> tuple[Tensor, Tensor]:
    """Log densities log p(x|y) (5, 3) of five inputs under three classes, and log p(y) (3,)."""
    g = torch.Generator().manual_seed(seed)
    log_likelihood = 2 * torch.randn(5, 3, dtype=torch.float64, generator=g) - 4
    log_prior = torch.randn(3, dtype=torch.float64, generator=g).log_softmax(0)
    return log_likelihood, log_prior


def run_from_joint(from_joint, *, seed: int) -> Plain:
    log_likelihood, log_prior = classes(seed)
    impossible = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).log()
    return {
        "random": call(from_joint, log_likelihood, log_prior),
        "far": call(from_joint, log_likelihood - 1500, log_prior),
        "impossible": call(from_joint, log_likelihood, impossible),
    }


def distributions(seed: int) -> tuple[Tensor, Tensor]:
    """Two sets of four distributions over five values, each (4, 5)."""
    g = torch.Generator().manual_seed(seed)
    p = torch.randn(4, 5, dtype=torch.float64, generator=g).softmax(1)
    q = torch.randn(4, 5, dtype=torch.float64, generator=g).softmax(1)
    return p, q


def with_zeros(p: Tensor, zero: float = 0.0) -> Tensor:
    p = p.clone()
    p[0, 1] = p[1, 0] = p[1, 4] = zero
    return p / p.sum(1, keepdim=True)


def run_kl_categorical(kl_categorical, *, seed: int) -> Plain:
    p, q = distributions(seed)
    return {
        "random": call(kl_categorical, p, q),
        "zeros": call(kl_categorical, with_zeros(p), q),
        "almost zeros": call(kl_categorical, with_zeros(p, 1e-13), q),
        "outside": call(kl_categorical, p, with_zeros(q)),
        "equal": call(kl_categorical, with_zeros(p), with_zeros(p)),
    }


def mixture(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and standard deviations, each (3,), of a mixture of three Gaussians."""
    g = torch.Generator().manual_seed(seed)
    weights = torch.randn(3, dtype=torch.float64, generator=g).softmax(0)
    means = 2 * torch.randn(3, dtype=torch.float64, generator=g)
    stds = 0.3 + torch.rand(3, dtype=torch.float64, generator=g)
    return weights, means, stds


def run_moment_match(moment_match, *, seed: int) -> Plain:
    weights, means, stds = mixture(seed)
    return {
        "random": call(moment_match, weights, means, stds),
        "single": call(moment_match, weights[:1] / weights[:1], means[:1], stds[:1]),
    }


def run_prediction(prediction, *, seed: int) -> Plain:
    return {"prediction": plain(prediction)}


def run_two_ways(two_ways, *, seed: int) -> Plain:
    def draw(n: int, of: int) -> Plain:
        return call(two_ways, n, torch.Generator().manual_seed(of))

    return {
        "data": draw(400, seed),
        "again": draw(400, seed),
        "other": draw(400, seed + 1),
        "odd": draw(301, seed + 2),
    }


PROBES = {
    "from_joint": Probe(("from_joint",), run_from_joint),
    "kl_categorical": Probe(("kl_categorical",), run_kl_categorical),
    "moment_match": Probe(("moment_match",), run_moment_match),
    "prediction": Probe(("prediction",), run_prediction),
    "two_ways": Probe(("two_ways",), run_two_ways),
}
