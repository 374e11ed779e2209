"""Embeddings of numbers: a time or a position becomes a vector of waves that a network can read."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dgm.tensor import check_shape

__all__ = ["FourierFeatures", "sinusoidal"]


def sinusoidal(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Embed numbers as sines and cosines whose periods form a geometric series.

    omega_i = max_period^(-2i / dim) for i = 0 .. dim/2 - 1
    embedding(t) = [sin(omega_0 t), ..., sin(omega_{dim/2-1} t), cos(omega_0 t), ..., cos(omega_{dim/2-1} t)]

    The sines come first and the cosines after them, as in DDPM's code; the paper below interleaves them. The
    periods run from 2 pi to almost 2 pi max_period, made for steps 0, 1, 2, ...; multiply a time in [0, 1] by
    about 1000 first.

    Args:
        t: (B,), whole or real numbers.
        dim: the length of the embedding, even.
        max_period: sets the longest period, 2 pi max_period.
    Returns:
        (B, dim), in `t`'s dtype where that is a float, else in torch's default dtype.
    Raises:
        ValueError: `t` is not of shape (B,), or `dim` is not even and positive.

    Source: Vaswani et al. 2017, section 3.5.
    Test: tests/unit/test_nn.py::test_sinusoidal_entry_by_entry
    """
    if t.ndim != 1:
        remedy = "use t[:, 0]" if t.ndim == 2 and t.shape[1] == 1 else "use t.reshape(-1)"
        raise ValueError(f"t must have shape (B,), got {tuple(t.shape)}; {remedy}")
    if dim < 2 or dim % 2:
        raise ValueError(
            f"dim must be even and at least 2, got {dim}; every frequency has a sine and a cosine"
        )
    if not t.is_floating_point():
        t = t.to(torch.get_default_dtype())
    exponent = torch.arange(dim // 2, dtype=t.dtype, device=t.device) * (2 / dim)  # (dim/2,)
    angle = t[:, None] * torch.exp(-math.log(max_period) * exponent)  # (B, dim/2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)  # (B, dim)


class FourierFeatures(nn.Module):
    """Embed points as waves of random, fixed frequencies.

    f ~ N(0, scale^2),  features(x) = [sin(2 pi f x), cos(2 pi f x)]

    The features' inner product depends on x - x' alone and fades at distances of about 1 / (2 pi scale): the
    larger the scale, the finer the detail that a network on top can draw.

    Args:
        dim: the length of the embedding, even.
        scale: the standard deviation of the frequencies, in cycles per unit of x.
        generator: draws the frequencies; they are a buffer, saved with the module and never trained.
        inputs: the number of coordinates of a point.
    Raises:
        ValueError: `dim` is not even and positive.

    Source: Tancik et al. 2020 (their Gaussian mapping; there the cosines come first).
    """

    frequencies: Tensor

    def __init__(
        self, dim: int, scale: float, generator: torch.Generator | None = None, *, inputs: int = 1
    ) -> None:
        super().__init__()
        if dim < 2 or dim % 2:
            raise ValueError(
                f"dim must be even and at least 2, got {dim}; every frequency has a sine and a cosine"
            )
        self.inputs = inputs
        self.register_buffer("frequencies", scale * torch.randn(dim // 2, inputs, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,) (when inputs = 1) or (B, inputs) to (B, dim)."""
        if x.ndim == 1 and self.inputs == 1:
            x = x[:, None]  # (B, 1)
        check_shape("x", x, ("B", self.inputs))
        angle = 2 * math.pi * x @ self.frequencies.to(x.dtype).T  # (B, dim/2)
        return torch.cat([angle.sin(), angle.cos()], dim=1)  # (B, dim)
