"""Curves blurred by Gaussian noise: two moons and two spirals.

A point is c(u) + std * eps with u uniform on the curve's parameter and eps ~ N(0, I), so the density is a
mixture of infinitely many Gaussians, p(x) = integral N(x; c(u), std^2 I) du. A Gauss-Legendre rule turns
the integral into a finite mixture of Gaussians at the nodes. The integrand is smooth, so the rule converges
exponentially once its nodes lie closer than about one std. NODES_PER_STD nodes per std of curve length
leave an error in log p below 1e-5 nats all over the plot range (tests/unit/test_toy2d.py compares with four
times the nodes). In float32 rounding adds up to 2e-4 nats.
"""

import functools
import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from dgm.data.toy2d.base import Bounds, check_points, check_positive, choose, normal, square, uniform

NODES_PER_STD = 2.5
_PANEL = 64
_CHUNK = 1024  # points at a time: the (points, nodes) table then stays in the processor's cache


@dataclass(frozen=True)
class TwoMoons:
    """Two interleaved half circles with Gaussian noise.

    In the usual coordinates the moons are (cos t, sin t) and (1 - cos t, 1/2 - sin t) for t in [0, pi].
    Here both are moved to mean zero and enlarged, x = scale ((cos t, sin t) - (1/2, 1/4)) and the point
    reflection -x of it, so that with scale 1.7 the data lie in about [-3, 3] x [-1.7, 1.7]. t and the moon
    are uniform.

    Args:
        scale: Radius of a moon; 1 gives the usual size.
        std: Standard deviation of the noise, in the units after scaling.
    """

    scale: float = 1.7
    std: float = 0.15

    name: ClassVar[str] = "two moons"

    def __post_init__(self) -> None:
        check_positive(scale=self.scale, std=self.std)

    @property
    def bounds(self) -> Bounds:
        """The centred square that holds both moons with five standard deviations around them."""
        return square(1.5 * self.scale + 5 * self.std)

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Draw n points (n, 2)."""
        curve = self._curve(uniform(n, generator, dtype))  # (n, 2)
        return _reflect_half(curve, generator) + self.std * normal(n, generator, dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats for points x (B, 2)."""
        return _log_prob(x, *self._nodes(x), self.std)

    def score(self, x: Tensor) -> Tensor:
        """Return grad_x log p(x) (B, 2)."""
        return _score(x, *self._nodes(x), self.std)

    def _curve(self, u: Tensor) -> Tensor:
        t = math.pi * u  # (n,)
        return self.scale * torch.stack([t.cos() - 0.5, t.sin() - 0.25], dim=1)  # (n, 2)

    def _nodes(self, like: Tensor) -> tuple[Tensor, Tensor]:
        u, log_w = _gauss_legendre(_node_count(math.pi * self.scale, self.std))
        return _with_reflection(self._curve(u), log_w, like)


@dataclass(frozen=True)
class Spirals:
    """Two Archimedean spirals, one the point reflection of the other, with Gaussian noise.

    The curve is radius v (cos a v, sin a v), v in [0, 1], a = 2 pi turns, and v = sqrt(u) with u uniform:
    nearly uniform along the length of the arm.

    Args:
        radius: Distance of the outer end from the origin.
        turns: Revolutions of each arm.
        std: Standard deviation of the noise.
    """

    radius: float = 2.7
    turns: float = 1.5
    std: float = 0.1

    name: ClassVar[str] = "two spirals"

    def __post_init__(self) -> None:
        check_positive(radius=self.radius, turns=self.turns, std=self.std)

    @property
    def bounds(self) -> Bounds:
        """The centred square that holds both arms with five standard deviations around them."""
        return square(self.radius + 5 * self.std)

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Draw n points (n, 2)."""
        curve = self._curve(uniform(n, generator, dtype).sqrt())  # (n, 2)
        return _reflect_half(curve, generator) + self.std * normal(n, generator, dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats for points x (B, 2)."""
        return _log_prob(x, *self._nodes(x), self.std)

    def score(self, x: Tensor) -> Tensor:
        """Return grad_x log p(x) (B, 2)."""
        return _score(x, *self._nodes(x), self.std)

    def _curve(self, v: Tensor) -> Tensor:
        angle = 2 * math.pi * self.turns * v  # (n,)
        return self.radius * v[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)  # (n, 2)

    def _nodes(self, like: Tensor) -> tuple[Tensor, Tensor]:
        length = self.radius * (1 + math.pi * self.turns)  # an upper bound of the arm's length
        v, log_w = _gauss_legendre(_node_count(length, self.std))
        log_w = log_w + torch.log(2 * v)  # u uniform and v = sqrt(u) give v the density 2 v
        return _with_reflection(self._curve(v), log_w, like)


def _node_count(length: float, std: float) -> int:
    return math.ceil(NODES_PER_STD * length / std)


@functools.lru_cache(maxsize=16)
def _gauss_legendre(count: int) -> tuple[Tensor, Tensor]:
    """Return at least ``count`` nodes on [0, 1] and the logarithms of their weights, in float64.

    The weights sum to 1. The rule of _PANEL nodes is repeated on equal panels.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_PANEL)
    panels = math.ceil(count / _PANEL)
    nodes = (np.arange(panels)[:, None] + (nodes + 1) / 2) / panels  # (panels, _PANEL)
    return torch.from_numpy(nodes.flatten()), torch.from_numpy(np.log(np.tile(weights / 2 / panels, panels)))


def _with_reflection(curve: Tensor, log_w: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return nodes (2 J, 2) and log-weights (2 J,) of a curve and its point reflection, mixed equally."""
    nodes = torch.cat([curve, -curve])
    log_weights = torch.cat([log_w, log_w]) - math.log(2)
    return nodes.to(like.device, like.dtype), log_weights.to(like.device, like.dtype)


def _reflect_half(curve: Tensor, generator: torch.Generator | None) -> Tensor:
    sign = 1 - 2 * choose(len(curve), 2, generator)  # (n,)
    return sign[:, None] * curve


def _logits(x: Tensor, nodes: Tensor, log_w: Tensor, std: float) -> Tensor:
    """Return (B, J), the part of log w_j N(x; c_j, std^2 I) that depends on j.

    log w_j + (x . c_j - |c_j|^2 / 2) / std^2
    """
    offset = log_w - nodes.square().sum(dim=1) / (2 * std**2)  # (J,)
    return torch.addmm(offset, x, nodes.T / std**2)


def _log_prob(x: Tensor, nodes: Tensor, log_w: Tensor, std: float) -> Tensor:
    check_points(x)
    sums = [_logsumexp(_logits(part, nodes, log_w, std)) for part in x.split(_CHUNK)]
    return torch.cat(sums) - x.square().sum(dim=1) / (2 * std**2) - math.log(2 * math.pi * std**2)


def _logsumexp(logits: Tensor) -> Tensor:
    """Return log sum_j exp(logits (B, J)) (B,), many times faster than Tensor.logsumexp if most terms vanish.

    exp is slow where it underflows, and here it would nearly everywhere. Raising terms to exp(-80) of the
    largest one changes the sum by less than float64 resolves.
    """
    largest = logits.detach().amax(dim=1, keepdim=True)  # (B, 1)
    return (logits - largest).clamp_min(-80).exp().sum(dim=1).log() + largest[:, 0]


def _score(x: Tensor, nodes: Tensor, log_w: Tensor, std: float) -> Tensor:
    """Return (E[c | x] - x) / std^2 (B, 2): every node pulls by its share of the density."""
    check_points(x)
    means = [_logits(part, nodes, log_w, std).softmax(dim=1) @ nodes for part in x.split(_CHUNK)]
    return (torch.cat(means) - x) / std**2
