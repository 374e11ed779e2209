"""A mixture of isotropic Gaussians, and the same mixture after diffusion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dgm.data.toy2d.base import Bounds, check_points, check_positive, choose_weighted, normal


@dataclass(frozen=True)
class GaussianMixture:
    """A mixture of isotropic Gaussians in the plane.

    p(x) = sum_k w_k N(x; m_k, s_k^2 I)

    Args:
        means: K centres (x, y).
        stds: K standard deviations, positive.
        weights: K probabilities with sum 1; None makes them equal.

    Raises:
        ValueError: If the lengths differ, a std is not positive or the weights do not sum to 1.
    """

    means: Sequence[Sequence[float]]
    stds: Sequence[float]
    weights: Sequence[float] | None = None

    name: ClassVar[str] = "mixture of Gaussians"

    def __post_init__(self) -> None:
        # Tuples of floats: hashable, comparable, exact in every dtype and at home on no device.
        means = tuple((float(x), float(y)) for x, y in self.means)
        stds = tuple(float(s) for s in self.stds)
        count = len(means)
        if not count:
            raise ValueError("means must name at least one component, got none; one at the origin: [(0, 0)]")
        weights = (1.0 / count,) * count if self.weights is None else tuple(float(w) for w in self.weights)
        if not count == len(stds) == len(weights):
            raise ValueError(
                f"means, stds and weights must have one entry per component, got {count}, {len(stds)} and "
                f"{len(weights)}; for equal stds use [std] * {count}"
            )
        for k, std in enumerate(stds):
            check_positive(**{f"stds[{k}]": std})
        if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
            raise ValueError(
                f"weights must be non-negative with sum 1, got sum {sum(weights):.6g}; divide by their sum"
            )
        for field, value in (("means", means), ("stds", stds), ("weights", weights)):
            object.__setattr__(self, field, value)

    @classmethod
    def ring(cls, n: int = 8, radius: float = 2.0, std: float = 0.2) -> "GaussianMixture":
        """Return n equal Gaussians, evenly spaced on a circle, the first at (radius, 0)."""
        angles = [2 * math.pi * k / n for k in range(n)]
        return cls([(radius * math.cos(a), radius * math.sin(a)) for a in angles], [std] * n)

    @classmethod
    def grid(cls, side: int = 5, spacing: float = 1.2, std: float = 0.1) -> "GaussianMixture":
        """Return side x side equal Gaussians on a square lattice centred at the origin."""
        ticks = [spacing * (k - (side - 1) / 2) for k in range(side)]
        return cls([(x, y) for y in ticks for x in ticks], [std] * side**2)

    @property
    def bounds(self) -> Bounds:
        """The square that holds every centre with five standard deviations around it."""
        reach = list(zip(self.means, self.stds, strict=True))
        lows = [min(m[axis] - 5 * s for m, s in reach) for axis in range(2)]
        highs = [max(m[axis] + 5 * s for m, s in reach) for axis in range(2)]
        half = max(high - low for low, high in zip(lows, highs, strict=True)) / 2
        cx, cy = ((low + high) / 2 for low, high in zip(lows, highs, strict=True))
        return (cx - half, cx + half, cy - half, cy + half)

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Draw n points (n, 2): a component by its weight, then its Gaussian."""
        return self.sample_labelled(n, generator, dtype=dtype)[0]

    def sample_labelled(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw n points (n, 2) and the component (n,) that each came from."""
        assert self.weights is not None  # for the type checker: __post_init__ filled them in
        k = choose_weighted(n, tuple(self.weights), generator)  # (n,)
        eps = normal(n, generator, dtype)  # (n, 2)
        means, stds, _ = self._tensors(eps)
        return means[k] + stds[k, None] * eps, k

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats for points x (B, 2)."""
        return self._log_joint(x).logsumexp(dim=1)

    def posterior(self, x: Tensor) -> Tensor:
        """Return the probability (B, K) of each component given the point x (B, 2).

        p(k | x) = w_k N(x; m_k, s_k^2 I) / p(x)
        """
        return self._log_joint(x).softmax(dim=1)

    def score(self, x: Tensor) -> Tensor:
        """Return grad_x log p(x) (B, 2).

        score(x) = sum_k p(k | x) (m_k - x) / s_k^2
        """
        means, stds, _ = self._tensors(x)
        pulls = self.posterior(x) / stds**2  # (B, K)
        return pulls @ means - pulls.sum(dim=1, keepdim=True) * x  # (B, 2)

    def diffused(self, alpha: float, sigma: float) -> "GaussianMixture":
        """Return the density of x_t = alpha x0 + sigma eps for x0 from this mixture and eps ~ N(0, I).

        p_t(x) = sum_k w_k N(x; alpha m_k, (alpha^2 s_k^2 + sigma^2) I)

        Args:
            alpha: Factor of the data; 1 with sigma = 0 gives the mixture back.
            sigma: Standard deviation of the noise, not negative.

        Returns:
            The noised mixture, with the same weights.

        Raises:
            ValueError: If sigma is negative, or alpha and sigma are both 0 (no density is left).
        """
        if sigma < 0:
            raise ValueError(f"sigma must be at least 0, got {sigma}")
        means = [(alpha * x, alpha * y) for x, y in self.means]
        return GaussianMixture(means, [math.hypot(alpha * s, sigma) for s in self.stds], self.weights)

    def _log_joint(self, x: Tensor) -> Tensor:
        """Return log (w_k N(x; m_k, s_k^2 I)) (B, K)."""
        check_points(x)
        means, stds, weights = self._tensors(x)
        squared = (x[:, None] - means).square().sum(dim=2)  # (B, K)
        return weights.log() - torch.log(2 * math.pi * stds**2) - squared / (2 * stds**2)

    def _tensors(self, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return means (K, 2), stds (K,) and weights (K,) in the dtype and on the device of ``like``."""
        return (
            torch.tensor(self.means, dtype=like.dtype, device=like.device),
            torch.tensor(self.stds, dtype=like.dtype, device=like.device),
            torch.tensor(self.weights, dtype=like.dtype, device=like.device),
        )
