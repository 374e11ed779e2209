"""The decoder's last step: from raw outputs to a distribution over x that can be scored and drawn from.

A new likelihood is one row of `LIKELIHOODS`; the tests go through its rows.
"""

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
class Likelihood:
    """What there is to know about a kind of likelihood; the functions are given the `Observation` first.

    Args:
        n_params: P, numbers per entry of x; None where there is one per level.
        discrete: True for levels 0..L-1, False for real x.
        log_prob: (observation, raw (B, ..., P), x (B, ...)) to (B,) nats.
        mean: (observation, raw (B, ..., P)) to E[x|z] (B, ...).
        draw: (observation, raw (B, ..., P), generator) to one x (B, ...).
        most_levels: L where there can be no more; None for any number.
    """

    n_params: int | None
    discrete: bool
    log_prob: Callable[["Observation", Tensor, Tensor], Tensor]
    mean: Callable[["Observation", Tensor], Tensor]
    draw: Callable[["Observation", Tensor, torch.Generator | None], Tensor]
    most_levels: int | None = None


@dataclass(frozen=True)
class Observation:
    """A likelihood p(x|z) read off `n_params` numbers per entry of x.

    Args:
        name: of the likelihood.
        kind: its row of `LIKELIHOODS`.
        levels: L, x is a whole number 0..L-1; 0 for continuous x.
        variance: of x given z, where it is fixed and not among the parameters; in squared units of x.
    """

    name: str
    kind: Likelihood
    levels: int
    variance: float = 1.0

    @property
    def n_params(self) -> int:
        """P, numbers per entry of x: the decoder's output is (B, ..., P)."""
        return self.levels if self.kind.n_params is None else self.kind.n_params

    def log_prob(self, raw: Tensor, x: Tensor) -> Tensor:
        """log p(x|z): raw (B, ..., P) and x (B, ...) to (B,) nats."""
        return self.kind.log_prob(self, raw, x)

    def level_log_probs(self, raw: Tensor) -> Tensor:
        """Log-probability of every level for every entry: raw (B, ..., P) to (B, ..., L) nats."""
        if not self.kind.discrete:
            raise ValueError(f"{self.name} has a density, not level probabilities; use mean or sample")
        flat = raw.reshape(-1, 1, self.n_params)  # one entry per batch row
        level = torch.arange(self.levels, device=raw.device)
        columns = [self.log_prob(flat, v.expand(len(flat), 1)) for v in level]
        return torch.stack(columns, -1).reshape(*raw.shape[:-1], self.levels)

    def mean(self, raw: Tensor) -> Tensor:
        """E[x|z] in the units of x: raw (B, ..., P) to (B, ...)."""
        return self.kind.mean(self, raw)

    def sample(self, raw: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x for every entry: raw (B, ..., P) to (B, ...), int64 levels or floats."""
        return self.kind.draw(self, raw, generator)


def _mean_level(o: Observation, raw: Tensor) -> Tensor:
    level = torch.arange(o.levels, dtype=raw.dtype, device=raw.device)
    return (o.level_log_probs(raw).exp() * level).sum(-1)


def _draw_level(o: Observation, raw: Tensor, generator: torch.Generator | None) -> Tensor:
    p = o.level_log_probs(raw).exp().reshape(-1, o.levels)
    return torch.multinomial(p, 1, generator=generator).reshape(raw.shape[:-1])


def _fixed_logvar(o: Observation, raw: Tensor) -> Tensor:
    return raw.new_tensor(math.log(o.variance))


LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": Likelihood(
        n_params=1,
        discrete=True,
        log_prob=lambda o, raw, x: bernoulli_log_prob(raw[..., 0], x),
        mean=_mean_level,
        draw=_draw_level,
        most_levels=2,
    ),
    "binomial": Likelihood(
        n_params=1,
        discrete=True,
        log_prob=lambda o, raw, x: binomial_log_prob(raw[..., 0], x, o.levels - 1),
        mean=_mean_level,
        draw=_draw_level,
    ),
    "beta_binomial": Likelihood(
        n_params=2,
        discrete=True,
        log_prob=lambda o, raw, x: beta_binomial_log_prob(raw[..., 0], raw[..., 1], x, o.levels - 1),
        mean=_mean_level,
        draw=_draw_level,
    ),
    "categorical": Likelihood(
        n_params=None,
        discrete=True,
        log_prob=lambda o, raw, x: categorical_log_prob(raw, x),
        mean=_mean_level,
        draw=_draw_level,
    ),
    "discretised_logistic": Likelihood(
        n_params=2,
        discrete=True,
        log_prob=lambda o, raw, x: discretised_logistic_log_prob(raw[..., 0], raw[..., 1], x, o.levels),
        mean=_mean_level,
        draw=_draw_level,
    ),
    "gaussian_fixed": Likelihood(
        n_params=1,
        discrete=False,
        log_prob=lambda o, raw, x: gaussian_log_prob(x, raw[..., 0], _fixed_logvar(o, raw)),
        mean=lambda o, raw: raw[..., 0],
        draw=lambda o, raw, g: reparameterise(raw[..., 0], _fixed_logvar(o, raw).expand(raw.shape[:-1]), g),
    ),
    "gaussian": Likelihood(
        n_params=2,
        discrete=False,
        log_prob=lambda o, raw, x: gaussian_log_prob(x, raw[..., 0], raw[..., 1]),
        mean=lambda o, raw: raw[..., 0],
        draw=lambda o, raw, g: reparameterise(raw[..., 0], raw[..., 1], g),
    ),
}


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
    if name not in LIKELIHOODS:
        raise ValueError(f'likelihood must be one of {", ".join(LIKELIHOODS)}, got "{name}"')
    kind = LIKELIHOODS[name]
    if not kind.discrete:
        suits, wanted = levels == 0, "0 (continuous x)"
    elif kind.most_levels == 2:
        suits, wanted = levels == 2, "2"
    else:
        suits = 2 <= levels <= (kind.most_levels or levels)
        wanted = "at least 2" if kind.most_levels is None else f"from 2 to {kind.most_levels}"
    if not suits:
        raise ValueError(f"levels must be {wanted} for {name}, got {levels}")
    return Observation(name, kind, levels, variance)
