"""From whole grey levels to real numbers and back, and what that does to the likelihood.

A density fitted to whole numbers can grow without bound on them. With noise u in [0, 1) added, its mean
log-density is a lower bound on the log-probability that the model gives to the levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm.flows.base import Flow, Mapped
from dgm.prob import standard_normal_log_prob
from dgm.tensor import check_same_shape, draw_device, log_mean_exp, randn_like, sum_except_batch


class Noise(Protocol):
    """Draws the noise that is added to grey levels."""

    def __call__(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw u in [0, 1), the shape of x (B, ...), and log q(u | x): (B,) nats."""
        ...


def uniform_noise(x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Draw noise that is uniform on [0, 1), whatever the image.

    Args:
        x: (B, ...) grey levels, of any dtype.
        generator: draws the noise; torch's global generator when None.

    Returns:
        u, the shape of `x`, in its dtype where that is a float, else in torch's default dtype; and
        log q(u | x) = 0, (B,) nats.

    Source: Theis et al. 2016, section 3.1.
    """
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    u = torch.rand(x.shape, generator=generator, dtype=dtype, device=draw_device(generator, x)).to(x.device)
    return u, u.new_zeros(len(x))


class VariationalNoise(nn.Module):
    r"""Noise that a network fits to the image: $u = \varsigma(\mu(x) + e^{s(x)} \varepsilon)$.

    Trained with the flow on one objective; the closer q(u | x) comes to the model's p(u | x), the tighter
    the bound.

    Args:
        conditioner: from levels scaled to [-1, 1] (B, ...) to mu and s: (B, 2, ...), such as
            `ConvConditioner(1, 1, 2)`.
        levels: L of the grey levels.

    Source: Ho et al. 2019 (Flow++), section 3.1 (there q is itself a deep flow).
    Equation: flow-variational
    Test: tests/equations/test_flow.py::test_variational_bound_misses_by_the_kl_from_noise_to_posterior
    """

    def __init__(self, conditioner: nn.Module, levels: int) -> None:
        super().__init__()
        self.conditioner, self.levels = conditioner, levels

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw u in [0, 1), the shape of x (B, ...), and log q(u | x): (B,) nats."""
        dtype = next(self.conditioner.parameters()).dtype
        mu, s = self.conditioner(2 * x.to(dtype) / (self.levels - 1) - 1).unbind(1)
        eps = randn_like(mu, generator)  # (B, ...)
        a = mu + s.exp() * eps
        # du/deps = e^s u (1 - u)
        log_derivative = s + F.logsigmoid(a) + F.logsigmoid(-a)
        below_one = 1 - torch.finfo(dtype).eps
        u = torch.sigmoid(a).clamp(max=below_one)  # rounded to 1 it would belong to the next level
        return u, standard_normal_log_prob(eps) - sum_except_batch(log_derivative)


def dequantise(x: Tensor, u: Tensor, levels: int) -> Mapped:
    r"""Spread grey levels over [0, 1): $v = (x + u) / L$.

    Args:
        x: (B, ...) whole numbers 0 .. L - 1.
        u: (B, ...) noise in [0, 1).
        levels: L.

    Returns:
        v (B, ...) in [0, 1), and the log-determinant of y = x + u -> v, which is $-D \log L$: (B,) nats.

    Raises:
        ValueError: the shapes differ, or x leaves 0 .. L - 1.

    Source: Theis et al. 2016, section 3.1.
    """
    check_same_shape("u", u, "x", x)
    if x.numel() and not 0 <= int(x.min()) <= int(x.max()) < levels:
        raise ValueError(
            f"x must hold grey levels 0 .. {levels - 1}, got {x.min().item():g} to {x.max().item():g}; "
            "pass the integers, not pixels scaled to [0, 1] or [-1, 1]"
        )
    dims = x[0].numel() if len(x) else 0
    v = (x.to(u.dtype) + u) / levels
    # Rounding may carry a u just below 1 to the next level.
    v = torch.minimum(v, torch.nextafter((x.to(u.dtype) + 1) / levels, v.new_zeros(())))
    return v, u.new_full((len(x),), -dims * math.log(levels))


def quantise(v: Tensor, levels: int) -> Tensor:
    """Cut real numbers back to grey levels: the floor of L v, clipped to 0 .. L - 1.

    Args:
        v: (B, ...), on [0, 1].
        levels: L, at most 256.

    Returns:
        uint8, the shape of `v`.
    """
    return (v * levels).clamp(0, levels - 1).to(torch.uint8)  # which cuts to the floor


def dequantised_log_prob(
    log_prob: Callable[[Tensor], Tensor],
    x: Tensor,
    levels: int,
    *,
    noise: Noise = uniform_noise,
    draws: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw terms whose mean is a lower bound on the log-probability of whole grey levels.

    $\log P(x) = \log \int_{[0,1)^D} p(x + u)\, du \ge
    \mathbb{E}_{q(u|x)} \bigl[ \log p_V\bigl(\tfrac{x + u}{L}\bigr) - D \log L - \log q(u|x) \bigr]$

    The term $-D \log L$ is the log-determinant of the scaling to [0, 1]. `log_mean_exp(terms, 0)` instead of
    the mean is the importance-weighted bound, tighter.

    Args:
        log_prob: log p_V of points v (B, ...) in [0, 1]: (B,) nats.
        x: (B, ...) whole numbers 0 .. L - 1.
        levels: L.
        noise: q(u | x); `uniform_noise` or a `VariationalNoise`.
        draws: K, of the noise for each image.
        generator: draws the noise.

    Returns:
        (K, B) nats.

    Source: Ho et al. 2019 (Flow++), eq. (5) and (6).
    Equation: flow-dequantise, flow-bound, flow-bpd, flow-variational
    Test: tests/equations/test_flow.py::test_uniform_bound_is_the_mean_log_density_and_lies_below
    """
    terms = []
    for _ in range(draws):
        u, log_q = noise(x, generator)
        v, logdet = dequantise(x, u, levels)
        terms.append(log_prob(v) + logdet - log_q)
    return torch.stack(terms)


def tightened(terms: Tensor) -> Tensor:
    r"""Average the terms of `dequantised_log_prob` in log space: the importance-weighted bound.

    $\log \frac1K \sum_k \exp(\text{term}_k)$

    Args:
        terms: (K, B) nats.

    Returns:
        (B,) nats, never below the mean over K, and in expectation never above log P(x).

    Source: Burda et al. 2016, eq. (8), with u in the place of the latent variable.
    """
    return log_mean_exp(terms, 0)


class Logit(Flow):
    r"""From [0, 1] to the real line: $z = \text{logit}(\alpha + (1 - 2 \alpha) x)$, entry by entry.

    $\log dz/dx = \log(1 - 2 \alpha) - \log p - \log(1 - p)$ with $p = \alpha + (1 - 2\alpha) x$. Alpha keeps
    the ends at a finite distance.

    Args:
        alpha: in [0, 0.5).

    Source: Dinh et al. 2017, section 4.1.
    Equation: flow-logit
    Test: tests/equations/test_flow.py::test_logit_is_the_quantile_function_of_the_logistic
    """

    def __init__(self, alpha: float = 0.05) -> None:
        super().__init__()
        if not 0 <= alpha < 0.5:
            raise ValueError(f"alpha must lie in [0, 0.5), got {alpha}")
        self.alpha = alpha

    def forward(self, x: Tensor) -> Mapped:
        p = self.alpha + (1 - 2 * self.alpha) * x
        log_p, log_1p = p.log(), torch.log1p(-p)
        return log_p - log_1p, sum_except_batch(math.log(1 - 2 * self.alpha) - log_p - log_1p)

    def inverse(self, z: Tensor) -> Mapped:
        """Map the real line back to an interval; [0, 1] where z is a forward result."""
        x = (torch.sigmoid(z) - self.alpha) / (1 - 2 * self.alpha)
        log_derivative = F.logsigmoid(z) + F.logsigmoid(-z) - math.log(1 - 2 * self.alpha)
        return x, sum_except_batch(log_derivative)
