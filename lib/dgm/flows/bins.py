"""The piecewise-linear distribution function: a histogram's, as a map of [0, 1] to itself.

With one bin per grey level the first coupling of a flow can give every level the probability it wants,
which suits images of few levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dgm.flows.base import Compose, Flow, FlowModel, Mapped, UnitCube
from dgm.flows.coupling import Subset, halving_masks, mlp_coupling
from dgm.tensor import check_shape


def piecewise_linear(x: Tensor, logits: Tensor) -> Mapped:
    r"""The distribution function of a histogram with K equal bins on [0, 1].

    With masses p = softmax(logits) and x in bin k: $z = \sum_{j<k} p_j + p_k (K x - k)$,
    $dz/dx = K p_k$

    Args:
        x: (...) in [0, 1].
        logits: (..., K).

    Returns:
        z (...) in [0, 1] and log dz/dx (...).

    Source: Müller et al. 2019 (neural importance sampling), the piecewise-linear case.
    """
    return _piecewise_linear(x, logits, dim=-1)


def _piecewise_linear(x: Tensor, logits: Tensor, dim: int) -> Mapped:
    """`piecewise_linear` with the K logits along any axis: to move them would cost a copy."""
    bins = logits.shape[dim]
    log_p = logits.log_softmax(dim)
    scaled = x * bins
    k = scaled.floor().clamp(0, bins - 1).unsqueeze(dim)  # the bin of each entry, as a float
    log_mass = log_p.gather(dim, k.long()).squeeze(dim)
    number = torch.arange(bins, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.ndim - dim % logits.ndim))
    left = (k - number).clamp(0, 1)  # 1 for the bins to the left; a comparison takes five times as long
    below = (log_p.exp() * left).sum(dim)
    z = below + log_mass.exp() * (scaled - k.squeeze(dim))
    return z.clamp(0, 1), log_mass + math.log(bins)


def piecewise_linear_inverse(z: Tensor, logits: Tensor) -> Mapped:
    r"""The quantile function of a histogram with K equal bins on [0, 1].

    Args:
        z: (...) in [0, 1].
        logits: (..., K).

    Returns:
        x (...) in [0, 1] and log dx/dz (...).

    Source: Müller et al. 2019 (neural importance sampling), the piecewise-linear case.
    """
    bins = logits.shape[-1]
    log_p = logits.log_softmax(dim=-1)
    edges = F.pad(log_p.exp().cumsum(dim=-1), (1, 0))  # (..., K + 1)
    k = (z[..., None] >= edges[..., 1:-1]).sum(dim=-1, keepdim=True)  # (..., 1) in 0 .. K - 1
    log_mass = log_p.gather(-1, k)[..., 0]
    part = (z - edges.gather(-1, k)[..., 0]) * torch.exp(-log_mass)  # in [0, 1]
    x = (k[..., 0] + part.clamp(0, 1)) / bins
    return x, -log_mass - math.log(bins)


class PiecewiseLinear:
    """The histogram's distribution function as the transform of a coupling: K logits per entry.

    Args:
        bins: K, e.g. the number of grey levels.
    """

    def __init__(self, bins: int) -> None:
        self.bins = self.params = bins

    def forward(self, x: Tensor, params: Tensor) -> Mapped:
        return _piecewise_linear(x, params, dim=1)

    def inverse(self, z: Tensor, params: Tensor) -> Mapped:
        """Apply the quantile function."""
        return piecewise_linear_inverse(z, params.movedim(1, -1))


def bin_flow(
    shape: tuple[int, int, int] = (1, 8, 8),
    levels: int = 17,
    hidden: Sequence[int] = (192, 192),
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    masks: Sequence[Tensor] | None = None,
) -> FlowModel:
    """Build a flow of images on [0, 1] by couplings with one bin per grey level and a uniform base.

    One coupling for each mask, on the flattened image.

    Args:
        shape: (C, H, W) of one image.
        levels: L, of the grey values, dequantised to [0, 1].
        hidden: widths of the MLPs.
        activation: a name that `dgm.nn.MLP` knows.
        dropout: probability that a hidden unit is dropped in training.
        masks: bool (1, H, W), True where a pixel is kept; the six `halving_masks` when None.
            `scattered_masks` do better on small images, with 8 networks for 6.

    Returns:
        A model of x (B, C, H, W) in [0, 1].
    """
    masks = halving_masks(*shape[1:]) if masks is None else masks
    couplings = [
        mlp_coupling(
            Subset(mask.expand(shape)),
            PiecewiseLinear(levels),
            hidden,
            activation=activation,
            dropout=dropout,
            start=0.1,
        )
        for mask in masks
    ]
    return FlowModel(UnitCube(int(torch.Size(shape).numel())), Compose(Flatten(shape), *couplings))


class Flatten(Flow):
    """An image as a vector; the log-determinant is 0.

    Args:
        shape: of one x.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Mapped:
        check_shape("x", x, ("B", *self.shape))
        return x.flatten(1), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Mapped:
        """Shape the vector (B, D) back to (B, *shape)."""
        return z.reshape(len(z), *self.shape), z.new_zeros(len(z))
