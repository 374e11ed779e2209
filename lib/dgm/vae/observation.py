"""The decoder's last step: from raw outputs to a distribution over x that can be scored and drawn from."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dgm.prob import (
    bernoulli_log_prob,
    beta_binomial_log_prob,
    binomial_log_prob,
    categorical_log_prob,
    discretised_logistic_log_prob,
    gaussian_log_prob,
    reparameterise,
)


@dataclass(frozen=True)
class Observation:
    """A likelihood p(x|z) read off `params` numbers per entry of x.

    Args:
        name: of the likelihood.
        params: P, numbers per entry; the decoder's output is (B, ..., P).
        levels: L, x is a whole number 0..L-1; 0 for continuous x.
        log_prob: maps (B, ..., P) and x (B, ...) to (B,) nats.
        variance: of x given z, where it is fixed and not among the parameters; in squared units of x.
    """

    name: str
    params: int
    levels: int
    log_prob: Callable[[Tensor, Tensor], Tensor]
    variance: float = 1.0

    def level_log_probs(self, raw: Tensor) -> Tensor:
        """Log-probability of every level for every entry: raw (B, ..., P) to (B, ..., L) nats."""
        if not self.levels:
            raise ValueError(f"{self.name} has a density, not level probabilities; use mean or sample")
        flat = raw.reshape(-1, 1, self.params)  # one entry per batch row
        level = torch.arange(self.levels, device=raw.device)
        columns = [self.log_prob(flat, v.expand(len(flat), 1)) for v in level]
        return torch.stack(columns, -1).reshape(*raw.shape[:-1], self.levels)

    def mean(self, raw: Tensor) -> Tensor:
        """E[x|z] in the units of x: raw (B, ..., P) to (B, ...)."""
        if not self.levels:
            return raw[..., 0]
        level = torch.arange(self.levels, dtype=raw.dtype, device=raw.device)
        return (self.level_log_probs(raw).exp() * level).sum(-1)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x for every entry: raw (B, ..., P) to (B, ...), int64 levels or floats."""
        if self.levels:
            p = self.level_log_probs(raw).exp().reshape(-1, self.levels)
            return torch.multinomial(p, 1, generator=generator).reshape(raw.shape[:-1])
        mu = raw[..., 0]
        logvar = raw[..., 1] if self.params == 2 else torch.full_like(mu, math.log(self.variance))
        return reparameterise(mu, logvar, generator)


def observation(name: str, levels: int = 0, variance: float = 1.0) -> Observation:
    """Look up a likelihood by name.

    For integer grey levels: bernoulli (two levels), binomial, beta_binomial, categorical,
    discretised_logistic. For continuous x: gaussian (a variance per entry, from the decoder) and
    gaussian_fixed (the given variance everywhere: the squared error, up to scale and shift).

    Args:
        name: one of the above.
        levels: number of grey levels of x; 0 for continuous x.
        variance: for gaussian_fixed, in squared units of x.

    Returns:
        the `Observation`.

    Raises:
        ValueError: on an unknown name, levels that do not suit it, or a variance that is not positive.
    """
    if variance <= 0:
        raise ValueError(f"variance must be positive, got {variance}")
    total = levels - 1
    # name: (parameters per entry, log-probability of the parameters' last axis and x)
    known: dict[str, tuple[int, Callable[[Tensor, Tensor], Tensor]]] = {
        "bernoulli": (1, lambda r, x: bernoulli_log_prob(r[..., 0], x)),
        "binomial": (1, lambda r, x: binomial_log_prob(r[..., 0], x, total)),
        "beta_binomial": (2, lambda r, x: beta_binomial_log_prob(r[..., 0], r[..., 1], x, total)),
        "categorical": (levels, categorical_log_prob),
        "discretised_logistic": (
            2,
            lambda r, x: discretised_logistic_log_prob(r[..., 0], r[..., 1], x, levels),
        ),
        "gaussian_fixed": (1, lambda r, x: gaussian_log_prob(x, r[..., 0], r.new_tensor(math.log(variance)))),
        "gaussian": (2, lambda r, x: gaussian_log_prob(x, r[..., 0], r[..., 1])),
    }
    if name not in known:
        raise ValueError(f'likelihood must be one of {", ".join(known)}, got "{name}"')
    continuous = name.startswith("gaussian")
    suits = levels == 0 if continuous else levels == 2 if name == "bernoulli" else levels >= 2
    if not suits:
        wanted = "0 (continuous x)" if continuous else "2" if name == "bernoulli" else "at least 2"
        raise ValueError(f"levels must be {wanted} for {name}, got {levels}")
    params, log_prob = known[name]
    return Observation(name, params, levels, log_prob, variance)
