"""What a flow is, how flows compose, and how one turns a simple density into a model.

Direction, once for the whole package: `forward` goes from data x to latent z, `inverse` from z to x. Each
returns the log-determinant of its own map, so at corresponding points the two differ in sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from dgm.prob import standard_normal_log_prob
from dgm.tensor import draw_device, randn_like, sum_except_batch

Mapped = tuple[Tensor, Tensor]  # the image of a batch and the log-determinant (B,) of the map


class Flow(nn.Module):
    r"""An invertible map with a known log-determinant.

    `forward(x)` returns z = f(x) and $\log |\det \partial f / \partial x|$; `inverse(z)` returns
    $x = f^{-1}(z)$ and $\log |\det \partial f^{-1} / \partial z|$. Both log-determinants have shape (B,).

    Source: Rezende & Mohamed 2015, section 3.1.
    """

    def forward(self, x: Tensor) -> Mapped:
        """Map data x (B, ...) to z (B, ...) and log |det dz/dx| (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(x) -> (z, logdet)")

    def inverse(self, z: Tensor) -> Mapped:
        """Map z (B, ...) to data x (B, ...) and log |det dx/dz| (B,)."""
        raise NotImplementedError(f"{type(self).__name__} must define inverse(z) -> (x, logdet)")


class Compose(Flow):
    r"""One flow after another; log-determinants add.

    $z = f_K \circ \dots \circ f_1(x), \quad \log |\det| = \sum_k \log |\det J_k|$, each taken at the point
    that its own flow receives.

    Args:
        flows: f_1, ..., f_K in the order in which `forward` applies them.

    Source: Rezende & Mohamed 2015, eq. (6) and (7).
    Equation: flow-compose
    Test: tests/equations/test_flow.py::test_log_determinants_of_layers_add_at_the_points_the_layers_receive
    """

    def __init__(self, *flows: Flow) -> None:
        super().__init__()
        self.flows = nn.ModuleList(flows)

    def __iter__(self) -> Iterator[Flow]:
        return (cast(Flow, flow) for flow in self.flows)

    def __len__(self) -> int:
        return len(self.flows)

    def forward(self, x: Tensor) -> Mapped:
        total = x.new_zeros(len(x))
        for flow in self.flows:
            x, logdet = flow(x)
            total = total + logdet  # (B,)
        return x, total

    def inverse(self, z: Tensor) -> Mapped:
        """Map z back through the flows, the last one first."""
        total = z.new_zeros(len(z))
        for flow in reversed(list(self)):
            z, logdet = flow.inverse(z)
            total = total + logdet  # (B,)
        return z, total

    def forward_path(self, x: Tensor) -> Iterator[Tensor]:
        """Yield x and then what every flow makes of it: K + 1 tensors, for pictures layer by layer."""
        yield x
        for flow in self.flows:
            x, _ = flow(x)
            yield x

    def inverse_path(self, z: Tensor) -> Iterator[Tensor]:
        """Yield z and then what every inverse makes of it, the last flow's first: K + 1 tensors."""
        yield z
        for flow in reversed(list(self)):
            z, _ = flow.inverse(z)
            yield z


class Inverse(Flow):
    """A flow the other way round: its forward is the given flow's inverse.

    Args:
        flow: the flow to turn round.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor) -> Mapped:
        return self.flow.inverse(x)

    def inverse(self, z: Tensor) -> Mapped:
        """Apply the given flow forwards."""
        out: Mapped = self.flow(z)
        return out


class Base(Protocol):
    """The density that a flow ends in."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z (B, ...): (B,) nats."""
        ...

    def sample(self, n: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """Draw n points; a temperature below 1 keeps them closer to the mode."""
        ...


class StandardNormal(nn.Module):
    """N(0, I) over tensors of a given shape, as the base of a flow.

    Args:
        shape: of one z, e.g. `StandardNormal(2)` or `StandardNormal(1, 8, 8)`.
    """

    like: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("like", torch.zeros(()), persistent=False)  # carries dtype and device

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z (B, *shape): (B,) nats."""
        return standard_normal_log_prob(z)

    def sample(self, n: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """Draw n points with standard deviation `temperature`: (n, *shape)."""
        eps = randn_like(self.like.expand(n, *self.shape), generator)
        return eps if temperature == 1 else temperature * eps


class UnitCube(nn.Module):
    """The uniform density on [0, 1]^D, the base of flows that are made of distribution functions.

    Args:
        shape: of one z, e.g. `UnitCube(64)`.
    """

    like: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("like", torch.zeros(()), persistent=False)  # carries dtype and device

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of z (B, *shape): (B,) nats, 0 inside the cube and -inf outside."""
        outside = sum_except_batch(((z < 0) | (z > 1)).to(z.dtype)) > 0  # (B,)
        return z.new_zeros(len(z)).masked_fill(outside, -torch.inf)

    def sample(self, n: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """Draw n points (n, *shape); a temperature below 1 draws from the cube's middle, of that side."""
        device = draw_device(generator, self.like)
        u = torch.rand(n, *self.shape, generator=generator, dtype=self.like.dtype, device=device)
        return 0.5 + temperature * (u.to(self.like.device) - 0.5)


class FlowModel(nn.Module):
    r"""A density: the base's, pulled back to the data by a flow.

    $\log p(x) = \log p_Z(f(x)) + \log |\det \partial f / \partial x|$

    Args:
        base: density of z, such as `StandardNormal(2)`.
        flow: f, from x to z.

    Source: Dinh et al. 2017, eq. (2) and (3).
    Equation: flow-change, flow-mle
    Test: tests/equations/test_flow.py::test_log_determinant_is_the_growth_of_small_areas
    """

    def __init__(self, base: Base, flow: Flow) -> None:
        super().__init__()
        self.base = base
        self.flow = flow

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of x (B, ...): (B,) nats, per unit volume of x."""
        z, logdet = self.flow(x)
        return self.base.log_prob(z) + logdet

    def forward(self, x: Tensor) -> Tensor:
        """Do what `log_prob` does, so that the model can be called."""
        return self.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """Draw n points x: z from the base (at `temperature`), then the inverse flow: (n, ...)."""
        x, _ = self.flow.inverse(self.base.sample(n, generator, temperature))
        return x


def check_channels(x: Tensor, channels: int) -> None:
    """Raise unless axis 1 of x (B, C, ...) has the given length.

    Args:
        x: vectors (B, C) or images (B, C, H, W).
        channels: C.

    Raises:
        ValueError: x has another length there, or no axis 1.
    """
    if x.ndim < 2 or x.shape[1] != channels:
        raise ValueError(f"x must have shape (B, {channels}, ...), got {tuple(x.shape)}")
