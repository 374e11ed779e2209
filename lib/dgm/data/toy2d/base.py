"""What every two-dimensional density offers, and the checks that they share."""

from typing import Protocol

import torch
from torch import Tensor

from dgm.tensor import draw_device

Bounds = tuple[float, float, float, float]  # x_min, x_max, y_min, y_max: matplotlib's order of ``extent``


class Density2D(Protocol):
    """A two-dimensional density with a sampler and an exact log-density."""

    @property
    def name(self) -> str: ...

    @property
    def bounds(self) -> Bounds: ...

    def sample(
        self, n: int, generator: torch.Generator | None = None, *, dtype: torch.dtype | None = None
    ) -> Tensor: ...

    def log_prob(self, x: Tensor) -> Tensor: ...


def lattice(bounds: Bounds, side: int) -> Tensor:
    """Return the centres of side x side equal cells of a rectangle, row by row from the bottom.

    ``density.log_prob(lattice(density.bounds, 200)).exp().view(200, 200)`` is the picture that
    ``imshow(..., origin="lower", extent=density.bounds)`` shows.

    Args:
        bounds: x_min, x_max, y_min, y_max.
        side: Number of cells along each axis.

    Returns:
        Points (side * side, 2) in float32; x runs fastest.
    """
    x_min, x_max, y_min, y_max = bounds
    middle = (torch.arange(side) + 0.5) / side  # (side,)
    y, x = torch.meshgrid(y_min + (y_max - y_min) * middle, x_min + (x_max - x_min) * middle, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], dim=1)  # (side * side, 2)


def square(radius: float) -> Bounds:
    """Return the bounds of the centred square of side ``2 * radius``."""
    return (-radius, radius, -radius, radius)


def check_points(x: Tensor) -> None:
    """Raise ValueError unless x holds floating-point points of shape (B, 2)."""
    if x.dim() != 2 or x.shape[1] != 2:
        remedy = "use x[None] for one point" if x.shape == (2,) else "use x.reshape(-1, 2)"
        raise ValueError(f"x must have shape (B, 2), got {tuple(x.shape)}; {remedy}")
    if not x.is_floating_point():
        raise ValueError(f"x must be floating point, got {x.dtype}; use x.float()")


def check_positive(**values: float) -> None:
    """Raise ValueError for the first named value that is not positive and finite."""
    for name, value in values.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be positive and finite, got {value}")


def uniform(n: int, generator: torch.Generator | None, dtype: torch.dtype | None) -> Tensor:
    """Draw n uniforms on [0, 1) on the generator's device."""
    return torch.rand(n, generator=generator, dtype=dtype, device=draw_device(generator))


def normal(n: int, generator: torch.Generator | None, dtype: torch.dtype | None) -> Tensor:
    """Draw n standard normal points (n, 2) on the generator's device."""
    return torch.randn(n, 2, generator=generator, dtype=dtype, device=draw_device(generator))


def choose(n: int, options: int, generator: torch.Generator | None) -> Tensor:
    """Draw n integers (n,), uniform on 0..options-1, on the generator's device."""
    return torch.randint(options, (n,), generator=generator, device=draw_device(generator))


def choose_weighted(n: int, weights: tuple[float, ...], generator: torch.Generator | None) -> Tensor:
    """Draw n integers (n,) with the given probabilities on the generator's device."""
    u = uniform(n, generator, torch.float64)  # (n,)
    edges = torch.tensor(weights, dtype=torch.float64, device=u.device).cumsum(dim=0)[:-1]
    return torch.searchsorted(edges, u, right=True)
