"""A pinwheel: Gaussians on a star, bent by a twist that keeps areas."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dgm.data.toy2d.base import Bounds, check_points, check_positive, choose, normal, square


@dataclass(frozen=True)
class Pinwheel:
    """Elongated Gaussians on the spokes of a wheel, turned by an angle that grows with the radius.

    y ~ N((centre, 0), diag(radial_std^2, tangential_std^2)),  k uniform on the arms,
    x = Rot(2 pi k / arms + twist |y|) y

    The twist moves each circle |y| = r along itself, so its Jacobian determinant is 1 and the density is
    exact:

    p(x) = mean_k N(Rot(-2 pi k / arms - twist |x|) x; (centre, 0), diag(radial_std^2, tangential_std^2))

    Args:
        arms: Number of arms.
        centre: Distance of an arm's middle from the origin.
        radial_std: Standard deviation along the arm.
        tangential_std: Standard deviation across the arm.
        twist: Turn in radians per unit of radius; 0 leaves straight spokes.

    Source: the pinwheel of Johnson et al. 2016, with an angle that depends on the radius.
    """

    arms: int = 5
    centre: float = 1.6
    radial_std: float = 0.45
    tangential_std: float = 0.15
    twist: float = 0.7

    name: ClassVar[str] = "pinwheel"

    def __post_init__(self) -> None:
        check_positive(arms=self.arms, radial_std=self.radial_std, tangential_std=self.tangential_std)

    @property
    def bounds(self) -> Bounds:
        """The centred square that holds the arms to five standard deviations."""
        return square(self.centre + 5 * self.radial_std)

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Draw n points (n, 2)."""
        eps = normal(n, generator, dtype)  # (n, 2)
        y = torch.stack([self.centre + self.radial_std * eps[:, 0], self.tangential_std * eps[:, 1]], dim=1)
        turn = 2 * math.pi / self.arms * choose(n, self.arms, generator)  # (n,)
        return _rotate(y, turn + self.twist * torch.linalg.vector_norm(y, dim=1))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log p(x) (B,) in nats for points x (B, 2)."""
        check_points(x)
        return self._log_joint(self._spokes(x)).logsumexp(dim=1)

    def score(self, x: Tensor) -> Tensor:
        """Return grad_x log p(x) (B, 2).

        The chain rule through y = Rot(-a(|x|)) x: the score in y, turned back, plus the torque of the
        twist, since a step along the radius also turns y:  grad_x = Rot(a) grad_y - twist (grad_y . Jy) x /
        r,  J y = (-y_2, y_1).
        """
        check_points(x)
        y = self._spokes(x)  # (B, K, 2)
        precision = torch.tensor(
            [self.radial_std**-2, self.tangential_std**-2], dtype=x.dtype, device=x.device
        )
        centre = torch.tensor([self.centre, 0.0], dtype=x.dtype, device=x.device)
        posterior = self._log_joint(y).softmax(dim=1)  # (B, K)
        grad_y = posterior[:, :, None] * (centre - y) * precision  # (B, K, 2)
        r = torch.linalg.vector_norm(x, dim=1)  # (B,)
        turned_back = _rotate(grad_y, self._angles(x)).sum(dim=1)  # (B, 2)
        torque = (grad_y[:, :, 1] * y[:, :, 0] - grad_y[:, :, 0] * y[:, :, 1]).sum(dim=1)  # (B,)
        return turned_back - (self.twist * torque / r.clamp_min(1e-12))[:, None] * x

    def _angles(self, x: Tensor) -> Tensor:
        """Return the angle (B, K) by which arm k is turned at the radius of x."""
        spokes = torch.arange(self.arms, dtype=x.dtype, device=x.device) * (2 * math.pi / self.arms)  # (K,)
        return spokes + self.twist * torch.linalg.vector_norm(x, dim=1)[:, None]

    def _spokes(self, x: Tensor) -> Tensor:
        """Return x (B, K, 2) as each arm sees it, untwisted and with the arm along the first axis."""
        return _rotate(x[:, None], -self._angles(x))

    def _log_joint(self, y: Tensor) -> Tensor:
        """Return the log of (1 / arms) times each arm's density (B, K)."""
        squared = ((y[..., 0] - self.centre) / self.radial_std) ** 2 + (y[..., 1] / self.tangential_std) ** 2
        log_area = math.log(2 * math.pi * self.radial_std * self.tangential_std)
        return -squared / 2 - log_area - math.log(self.arms)


def _rotate(y: Tensor, angle: Tensor) -> Tensor:
    """Turn the vectors y (..., 2) anticlockwise by the angles (...)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * y[..., 0] - sin * y[..., 1], sin * y[..., 0] + cos * y[..., 1]], dim=-1)
