"""The monotone rational-quadratic spline, as pure functions and as the transform of a coupling.

Between two knots the spline is a quotient of two quadratics; it passes through the knots with given slopes,
and both its inverse and its derivative have a closed form.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm.flows.base import Mapped

MIN_SIZE = 1e-3  # of a bin, relative to the whole interval
MIN_SLOPE = 1e-3


class Knots(NamedTuple):
    """The points (x, y) that a spline passes through and its slopes there.

    Args:
        x: (..., K + 1) increasing.
        y: (..., K + 1) increasing.
        slope: (..., K + 1) positive.
    """

    x: Tensor
    y: Tensor
    slope: Tensor


def spline_knots(widths: Tensor, heights: Tensor, slopes: Tensor, bound: float) -> Knots:
    r"""Turn any numbers into knots of an increasing spline from (-bound, -bound) to (bound, bound).

    Widths and heights of the K bins: softmax, with a minimum, times 2 bound. Inner slopes: softplus with a
    minimum, shifted so that zero gives slope 1. The two end slopes are 1, to meet the identity outside.

    Args:
        widths: (..., K).
        heights: (..., K).
        slopes: (..., K - 1).
        bound: the spline's interval is [-bound, bound].

    Returns:
        Knots, each (..., K + 1). All zeros give the identity.

    Source: Durkan et al. 2019, section 3.1.
    """
    inner = MIN_SLOPE + F.softplus(slopes + math.log(math.expm1(1 - MIN_SLOPE)))  # (..., K - 1)
    x, y = _edges(torch.stack([widths, heights]), bound)
    return Knots(x, y, F.pad(inner, (1, 1), value=1.0))


def rational_quadratic(x: Tensor, knots: Knots) -> Mapped:
    r"""The spline at x, and the logarithm of its derivative; the identity outside the knots.

    With $\xi = (x - x_k) / (x_{k+1} - x_k)$, mean slope $s = (y_{k+1} - y_k) / (x_{k+1} - x_k)$ of the bin
    and $d = s + (\delta_{k+1} + \delta_k - 2 s)\, \xi (1 - \xi)$:

    $y = y_k + (y_{k+1} - y_k) \bigl( s \xi^2 + \delta_k\, \xi (1 - \xi) \bigr) / d$,
    $dy/dx = s^2 \bigl( \delta_{k+1} \xi^2 + 2 s\, \xi (1 - \xi) + \delta_k (1 - \xi)^2 \bigr) / d^2$

    Args:
        x: (...).
        knots: each (..., K + 1).

    Returns:
        y (...) and log dy/dx (...).

    Source: Durkan et al. 2019, section 3.1; Gregory & Delbourgo 1982.
    Equation: flow-spline, flow-spline-slope
    Test: tests/equations/test_flow.py::test_spline_is_the_quotient_of_quadratics_that_meets_its_conditions
    """
    inside, x_in, (x0, y0, width, height, d0, d1) = _bin_of(x, knots.x, knots)
    s = height / width
    xi = (x_in - x0) / width  # in [0, 1]
    mixed = xi * (1 - xi)
    d = s + (d1 + d0 - 2 * s) * mixed
    y = y0 + height * (s * xi.square() + d0 * mixed) / d
    return torch.where(inside, y, x), torch.where(inside, _log_slope(xi, mixed, d, s, d0, d1), 0.0)


def rational_quadratic_inverse(y: Tensor, knots: Knots) -> Mapped:
    r"""The x at which the spline reaches y, and the logarithm of the inverse's derivative.

    $\xi$ solves $a \xi^2 + b \xi + c = 0$; the root in [0, 1] is $2 c / (-b - \sqrt{b^2 - 4 a c})$, which is
    $(-b + \sqrt{b^2 - 4 a c}) / 2 a$, with
    $a = h (s - \delta_k) + v$, $b = h \delta_k - v$, $c = - s (y - y_k)$,
    $v = (y - y_k)(\delta_{k+1} + \delta_k - 2 s)$ and the bin's height h.

    Args:
        y: (...).
        knots: each (..., K + 1), as for the forward map.

    Returns:
        x (...) and log dx/dy (...).

    Source: Durkan et al. 2019, appendix A.
    Equation: flow-spline-inverse
    Test: tests/equations/test_flow.py::test_inverse_of_the_spline_is_the_root
    """
    inside, y_in, (x0, y0, width, height, d0, d1) = _bin_of(y, knots.y, knots)
    s = height / width
    rise = y_in - y0
    curve = d1 + d0 - 2 * s
    v = rise * curve
    a, b, c = height * (s - d0) + v, height * d0 - v, -s * rise
    # Rounding may put b^2 - 4ac below 0. Of the two forms of the root take the one that adds numbers of one
    # sign: b is negative under a steep right end, where -b - sqrt(...) would be a small difference.
    negative = b < 0
    sqrt = (b.square() - 4 * a * c).clamp_min(0).sqrt()
    q = -0.5 * (b + torch.where(negative, -sqrt, sqrt))
    xi = torch.where(negative, q, c) / torch.where(negative, a, q)
    x = x0 + width * xi
    mixed = xi * (1 - xi)
    log_slope = _log_slope(xi, mixed, s + curve * mixed, s, d0, d1)
    return torch.where(inside, x, y), torch.where(inside, -log_slope, 0.0)


class RationalQuadratic:
    """The spline as the transform of a coupling: K widths, K heights and K - 1 slopes per entry.

    Args:
        bins: K.
        bound: the identity outside [-bound, bound].

    Source: Durkan et al. 2019, section 3.1.
    """

    def __init__(self, bins: int = 8, bound: float = 3.0) -> None:
        if bins < 2 or bins * MIN_SIZE >= 1:
            raise ValueError(f"bins must lie between 2 and {int(1 / MIN_SIZE) - 1}, got {bins}")
        self.bins, self.bound = bins, bound
        self.params = 3 * bins - 1

    def knots(self, params: Tensor) -> Knots:
        """Read the knots off a network's output (B, 3 K - 1, ...)."""
        widths, heights, slopes = params.movedim(1, -1).split([self.bins, self.bins, self.bins - 1], dim=-1)
        return spline_knots(widths, heights, slopes, self.bound)

    def forward(self, x: Tensor, params: Tensor) -> Mapped:
        return rational_quadratic(x, self.knots(params))

    def inverse(self, z: Tensor, params: Tensor) -> Mapped:
        """Apply the inverse spline."""
        return rational_quadratic_inverse(z, self.knots(params))


def _edges(raw: Tensor, bound: float) -> Tensor:
    """Bin edges (..., K + 1) from -bound to bound, no bin smaller than the minimum."""
    bins = raw.shape[-1]
    sizes = MIN_SIZE + (1 - MIN_SIZE * bins) * raw.softmax(dim=-1)  # (..., K), sums to 1
    inner = 2 * bound * sizes.cumsum(dim=-1)[..., :-1] - bound
    # Both ends are exact, so that nothing inside the bound falls behind the last bin.
    return F.pad(F.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


def _bin_of(value: Tensor, edges: Tensor, knots: Knots) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Find each value's bin among the edges: inside or not, the value (or an edge), the bin's six numbers."""
    inside = (value >= edges[..., 0]) & (value <= edges[..., -1])
    # Both branches of a `where` are differentiated: outside, a harmless point stands in.
    value = torch.where(inside, value, edges[..., 0])
    k = (value[..., None] >= edges[..., 1:-1]).sum(dim=-1, keepdim=True)  # (..., 1) in 0 .. K - 1
    both = torch.cat([k, k + 1], dim=-1)  # (..., 2)
    stacked = torch.stack(knots)  # (3, ..., K + 1): one gather for all three
    (x0, x1), (y0, y1), (d0, d1) = stacked.gather(-1, both.expand(3, *both.shape)).movedim(-1, 1)
    return inside, value, (x0, y0, x1 - x0, y1 - y0, d0, d1)


def _log_slope(xi: Tensor, mixed: Tensor, d: Tensor, s: Tensor, d0: Tensor, d1: Tensor) -> Tensor:
    """log dy/dx at the relative position xi in a bin, with mixed = xi (1 - xi) and the spline's divisor d."""
    above = d1 * xi.square() + 2 * s * mixed + d0 * (1 - xi).square()
    return (above * (s / d).square()).log()
