"""Flows on the line with a few parameters of clear meaning, small enough for a slider."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgm.flows.base import Flow, Mapped
from dgm.tensor import sum_except_batch


class Line(Flow):
    r"""Scale and shift with numbers of one's own choice: $z = e^{s} x + t$, log-derivative s.

    Args:
        log_scale: s, the initial value.
        shift: t, the initial value.
    """

    def __init__(self, log_scale: float = 0.0, shift: float = 0.0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(float(log_scale)))
        self.shift = nn.Parameter(torch.tensor(float(shift)))

    def forward(self, x: Tensor) -> Mapped:
        return self.log_scale.exp() * x + self.shift, sum_except_batch(self.log_scale.expand_as(x))

    def inverse(self, z: Tensor) -> Mapped:
        """Shift back, then scale back."""
        return (z - self.shift) * torch.exp(-self.log_scale), sum_except_batch(-self.log_scale.expand_as(z))


class SinhArcsinh(Flow):
    r"""Two parameters, skew and weight of the tails: $z = \sinh(\delta \operatorname{arsinh} x - \epsilon)$.

    $\log dz/dx = \log \delta + \log\cosh(\delta \operatorname{arsinh} x - \epsilon)
    - \tfrac12 \log(1 + x^2)$. Of a Gaussian z it makes an x that leans to the right for $\epsilon > 0$ and
    has heavier tails than z for $\delta < 1$.

    Args:
        skew: epsilon, the initial value.
        tail: delta > 0, the initial value.

    Source: Jones & Pewsey 2009.
    Equation: flow-change-1d
    Test: tests/equations/test_flow.py::test_density_on_the_line_is_the_slope_of_its_distribution_function
    """

    def __init__(self, skew: float = 0.0, tail: float = 1.0) -> None:
        super().__init__()
        if tail <= 0:
            raise ValueError(f"tail must be positive, got {tail}")
        self.skew = nn.Parameter(torch.tensor(float(skew)))
        self.log_tail = nn.Parameter(torch.tensor(float(tail)).log())

    def forward(self, x: Tensor) -> Mapped:
        inner = self.log_tail.exp() * torch.asinh(x) - self.skew
        log_derivative = self.log_tail + _log_cosh(inner) - 0.5 * torch.log1p(x.square())
        return torch.sinh(inner), sum_except_batch(log_derivative)

    def inverse(self, z: Tensor) -> Mapped:
        """Map z to x with the same two parameters."""
        inner = (torch.asinh(z) + self.skew) * torch.exp(-self.log_tail)
        log_derivative = _log_cosh(inner) - self.log_tail - 0.5 * torch.log1p(z.square())
        return torch.sinh(inner), sum_except_batch(log_derivative)


def _log_cosh(x: Tensor) -> Tensor:
    """log cosh x without the overflow of cosh."""
    return x.abs() + torch.log1p(torch.exp(-2 * x.abs())) - 0.6931471805599453
