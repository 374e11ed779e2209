"""Concentric circles blurred by Gaussian noise, in closed form."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dgm.data.toy2d.base import Bounds, check_points, check_positive, choose, normal, square, uniform


@dataclass(frozen=True)
class Rings:
    """Concentric circles with Gaussian noise, each circle equally likely.

    x = R (cos t, sin t) + std eps with t uniform. The integral over t is a Bessel function, so the density
    is exact:

    p(x) = mean_R 1 / (2 pi std^2) exp(-(r^2 + R^2) / (2 std^2)) I0(r R / std^2),  r = |x|

    In polar coordinates p(x) dx dy = p(x) r dr dt: times 2 pi r (the Jacobian r, the full turn 2 pi) this
    is Rice's density of the radius, which integrates to 1 over r > 0.

    Args:
        radii: Radii of the circles.
        std: Standard deviation of the noise.

    Raises:
        ValueError: If there is no circle, or a radius or the std is not positive.
    """

    radii: tuple[float, ...] = (0.8, 1.6, 2.4)
    std: float = 0.1

    name: ClassVar[str] = "rings"

    def __post_init__(self) -> None:
        if not self.radii:
            raise ValueError("radii must name at least one circle, got none; the unit circle: (1.0,)")
        check_positive(std=self.std, **{f"radii[{k}]": radius for k, radius in enumerate(self.radii)})
        object.__setattr__(self, "radii", tuple(float(radius) for radius in self.radii))

    @property
    def bounds(self) -> Bounds:
        """The centred square that holds the circles with five standard deviations around them."""
        return square(max(self.radii) + 5 * self.std)

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Draw n points (n, 2)."""
        angle = 2 * math.pi * uniform(n, generator, dtype)  # (n,)
        radius = self._radii(angle)[choose(n, len(self.radii), generator)]  # (n,)
        circle = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)  # (n, 2)
        return circle + self.std * normal(n, generator, dtype)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats for points x (B, 2)."""
        return self._log_each(x).logsumexp(dim=1) - math.log(len(self.radii))

    def score(self, x: Tensor) -> Tensor:
        """Return grad_x log p(x) (B, 2).

        One circle pulls by (E[c | x] - x) / std^2 with E[c | x] = R I1(k) / I0(k) x / r, k = r R / std^2;
        the mixture averages the circles by their posterior.
        """
        posterior = self._log_each(x).softmax(dim=1)  # (B, K)
        radii = self._radii(x)
        k = torch.linalg.vector_norm(x, dim=1)[:, None] * radii / self.std**2  # (B, K)
        # I1(k) / (k I0(k)), which tends to 1/2 at the centre.
        ratio = torch.special.i1e(k) / (torch.special.i0e(k) * k.clamp_min(1e-12))
        ratio = torch.where(k < 1e-6, 0.5, ratio)
        shrink = (posterior * ratio * radii**2).sum(dim=1) / self.std**2  # (B,): E[c | x] = shrink x
        return (shrink - 1)[:, None] * x / self.std**2

    def _log_each(self, x: Tensor) -> Tensor:
        """Return the log-density (B, K) of each circle alone."""
        check_points(x)
        radii = self._radii(x)
        r = torch.linalg.vector_norm(x, dim=1)[:, None]  # (B, 1)
        # i0e(k) = exp(-k) I0(k): the exponentials are joined to one that cannot overflow.
        log_bessel = torch.special.i0e(r * radii / self.std**2).log()
        return log_bessel - (r - radii) ** 2 / (2 * self.std**2) - math.log(2 * math.pi * self.std**2)

    def _radii(self, like: Tensor) -> Tensor:
        return torch.tensor(self.radii, dtype=like.dtype, device=like.device)  # (K,)
