"""Coupling: one part of x is kept and decides how the other part is changed, entry by entry.

The Jacobian is triangular, so its log-determinant is a sum; the inverse needs no inverse of the network.
A coupling is made of three things: a split (`Halves`, `Subset`, or a mask), a transform of single numbers
(`Additive`, `Affine`, and in other modules `RationalQuadratic`, `PiecewiseLinear`), and a conditioner.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from dgm.flows.base import Flow, Mapped, check_channels
from dgm.flows.conditioner import MLPConditioner
from dgm.tensor import check_shape, sum_except_batch

# The change of single numbers


def soft_clip(s: Tensor, bound: float) -> Tensor:
    r"""Keep a number inside (-bound, bound), leaving it almost as it is near zero.

    $\text{clip}(s) = b \tanh(s / b)$

    Args:
        s: any shape.
        bound: b > 0.

    Returns:
        The shape of `s`, between -b and b.
    """
    return bound * torch.tanh(s / bound)


class Transform(Protocol):
    """A monotone map of single numbers whose parameters a network writes."""

    params: int

    def forward(self, x: Tensor, params: Tensor) -> Mapped:
        """From x (B, ...) and parameters (B, P, ...) to z (B, ...) and log dz/dx (B, ...)."""
        ...

    def inverse(self, z: Tensor, params: Tensor) -> Mapped:
        """From z (B, ...) and parameters (B, P, ...) to x (B, ...) and log dx/dz (B, ...)."""
        ...


class Additive:
    r"""Shift: z = x + t. The volume does not change.

    Source: Dinh et al. 2015 (NICE), section 3.2.
    Equation: flow-additive
    Test: tests/equations/test_flow.py::test_additive_coupling_is_a_regression_with_unit_noise
    """

    params = 1

    def forward(self, x: Tensor, params: Tensor) -> Mapped:
        return x + params[:, 0], torch.zeros_like(x)

    def inverse(self, z: Tensor, params: Tensor) -> Mapped:
        """Shift back."""
        return z - params[:, 0], torch.zeros_like(z)


class Affine:
    r"""Scale and shift: $z = x e^s + t$ with s softly clipped, log-derivative s.

    Args:
        clip: s lies between -clip and clip; without a limit one layer can overflow.

    Source: Dinh et al. 2017, section 3.2.
    Equation: flow-affine, flow-affine-logdet
    Test: tests/equations/test_flow.py::test_affine_coupling_is_a_regression_that_knows_its_spread
    """

    params = 2

    def __init__(self, clip: float = 2.0) -> None:
        self.clip = clip

    def forward(self, x: Tensor, params: Tensor) -> Mapped:
        s, t = params.unbind(1)
        s = self._log_scale(s, self.clip)
        return torch.addcmul(t, x, s.exp()), s

    def inverse(self, z: Tensor, params: Tensor) -> Mapped:
        """Shift back, then scale back."""
        s, t = params.unbind(1)
        s = self._log_scale(s, -self.clip)
        return (z - t) * s.exp(), s

    def _log_scale(self, s: Tensor, factor: float) -> Tensor:
        """`soft_clip` with a sign; without gradients in place, which saves memory traffic."""
        s = s * (1 / self.clip)
        return factor * s.tanh() if torch.is_grad_enabled() else s.tanh_().mul_(factor)


# Which part is kept


class Halves(nn.Module):
    """Split along axis 1: keep the first half and change the second, or the other way round.

    Args:
        features: length of axis 1 (entries of a vector, channels of an image); an odd one is shared out
            with one more in the second half.
        swap: keep the second half instead. Couplings must alternate, or one half is never changed.
    """

    def __init__(self, features: int, swap: bool = False) -> None:
        super().__init__()
        if features < 2:
            raise ValueError(f"features must be at least 2, got {features}; a coupling needs two parts")
        self.features, self.swap = features, swap
        self.first = features // 2
        sizes = (self.first, features - self.first)
        self.kept, self.changed = sizes[::-1] if swap else sizes

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split x (B, features, ...) into what is kept and what is changed."""
        check_channels(x, self.features)
        first, second = x[:, : self.first], x[:, self.first :]
        return (second, first) if self.swap else (first, second)

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Put the two parts back to where they came from."""
        return torch.cat([changed, kept] if self.swap else [kept, changed], dim=1)


class Subset(nn.Module):
    """Split the entries of a vector by a mask of any pattern.

    Args:
        mask: bool, D entries in any shape: True where x is kept.
    """

    index: Tensor
    back: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        flat = _checked_mask(mask).flatten()
        index = torch.cat([flat.nonzero()[:, 0], (~flat).nonzero()[:, 0]])  # the kept ones first
        self.kept = int(flat.sum())
        self.changed = flat.numel() - self.kept
        self.register_buffer("index", index, persistent=False)
        self.register_buffer("back", index.argsort(), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split x (B, D) into what is kept and what is changed."""
        check_shape("x", x, ("B", len(self.index)))
        kept, changed = self.index[: self.kept], self.index[self.kept :]
        return x.index_select(1, kept), x.index_select(1, changed)  # twice as fast as x[:, kept]

    def merge(self, kept: Tensor, changed: Tensor) -> Tensor:
        """Put the two parts back to where they came from."""
        return torch.cat([kept, changed], dim=1).index_select(1, self.back)


def checkerboard_mask(height: int, width: int, swap: bool = False) -> Tensor:
    """Mark every second pixel: True where the row and the column are both even or both odd.

    Args:
        height, width: of the image in pixels.
        swap: mark the other pixels instead.

    Returns:
        bool (1, height, width), True where a pixel is kept.

    Source: Dinh et al. 2017, section 3.4.
    Equation: glow-checkerboard
    Test: tests/equations/test_glow.py::test_checkerboard_keeps_all_neighbours_of_a_changed_pixel
    """
    parity = (torch.arange(height)[:, None] + torch.arange(width)) % 2  # (H, W)
    return (parity == int(swap))[None]


def channel_mask(channels: int, swap: bool = False) -> Tensor:
    """Mark the first half of the channels.

    Args:
        channels: of the image; an odd number leaves one more unmarked.
        swap: mark the others instead.

    Returns:
        bool (channels, 1, 1), True where a channel is kept.

    Source: Dinh et al. 2017, section 3.4.
    """
    return ((torch.arange(channels) < channels // 2) != swap)[:, None, None]


def halving_masks(height: int, width: int) -> list[Tensor]:
    """Six ways to halve an image: checkerboard, rows and columns by parity, each followed by its opposite.

    Args:
        height, width: of the image in pixels.

    Returns:
        Six masks bool (1, height, width), True where a pixel is kept.
    """
    rows = (torch.arange(height) % 2 == 0)[None, :, None].expand(1, height, width)
    columns = (torch.arange(width) % 2 == 0)[None, None].expand(1, height, width)
    return [m for mask in (checkerboard_mask(height, width), rows, columns) for m in (mask, ~mask)]


def scattered_masks(height: int, width: int, groups: int = 8) -> list[Tensor]:
    """Masks under which every pixel is changed once, by a coupling that keeps all the others.

    The pixels of one group lie as far apart as the 4x4 matrix of ordered dithering puts them; the last groups
    are the coarsest grid. So the first couplings see all neighbours of what they change, and the last ones
    lay out the whole: in the direction of sampling, coarse comes before fine.

    Args:
        height, width: of the image in pixels, at least 4.
        groups: 2, 4, 8 or 16.

    Returns:
        As many masks bool (1, height, width), True where a pixel is kept.

    Raises:
        ValueError: `groups` does not divide 16, or the image is smaller than the matrix.
    """
    if groups not in (2, 4, 8, 16) or min(height, width) < 4:
        raise ValueError(
            f"groups must be 2, 4, 8 or 16 and the image at least 4 x 4, got {groups} groups of {height} x "
            f"{width} pixels; halving_masks takes any size"
        )
    order = torch.tensor([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    group = order.repeat(-(-height // 4), -(-width // 4))[:height, :width] * groups // 16  # (H, W)
    return [(group != i)[None] for i in reversed(range(groups))]


# The layers


class Coupling(Flow):
    r"""Keep one part of x, change the other by a transform whose parameters depend on the kept part.

    $z_a = x_a, \quad z_b = g(x_b; \theta(x_a)), \quad
    \log |\det| = \sum_j \log \partial g / \partial x_{b,j}$

    Args:
        split: `Halves` or `Subset`.
        transform: of single numbers, such as `Affine()`.
        conditioner: from the kept part to (B, transform.params, *shape of the changed part).

    Source: Dinh et al. 2017, section 3.2.
    """

    def __init__(self, split: Halves | Subset, transform: Transform, conditioner: nn.Module) -> None:
        super().__init__()
        self.split, self.transform, self.conditioner = split, transform, conditioner

    def forward(self, x: Tensor) -> Mapped:
        kept, changed = self.split(x)
        changed, log_derivative = self.transform.forward(changed, self.conditioner(kept))
        return self.split.merge(kept, changed), sum_except_batch(log_derivative)

    def inverse(self, z: Tensor) -> Mapped:
        """Map z to x: the kept part tells the parameters again."""
        kept, changed = self.split(z)
        changed, log_derivative = self.transform.inverse(changed, self.conditioner(kept))
        return self.split.merge(kept, changed), sum_except_batch(log_derivative)


class MaskedCoupling(Flow):
    r"""A coupling for images whose network sees the whole image with the changed entries set to zero.

    $z = m \odot x + (1 - m) \odot g(x; \theta(m \odot x))$

    A convolution needs the pixels in their places, which `Coupling` on a `Subset` does not keep.

    Args:
        mask: bool, broadcastable to one x: True where x is kept.
        transform: of single numbers, such as `Affine()`.
        conditioner: from (B, C, H, W) to (B, transform.params, C, H, W).

    Source: Dinh et al. 2017, section 3.4.
    Equation: glow-masked
    Test: tests/equations/test_glow.py::test_masked_coupling_is_the_equation_entry_by_entry
    """

    mask: Tensor

    def __init__(self, mask: Tensor, transform: Transform, conditioner: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mask", _checked_mask(mask), persistent=False)
        self.transform, self.conditioner = transform, conditioner

    def forward(self, x: Tensor) -> Mapped:
        z, log_derivative = self.transform.forward(x, self.conditioner(x * self.mask))
        return self._keep(x, z, log_derivative)

    def inverse(self, z: Tensor) -> Mapped:
        """Map z to x: the kept entries tell the parameters again."""
        x, log_derivative = self.transform.inverse(z, self.conditioner(z * self.mask))
        return self._keep(z, x, log_derivative)

    def _keep(self, old: Tensor, new: Tensor, log_derivative: Tensor) -> Mapped:
        logdet = sum_except_batch(log_derivative.masked_fill(self.mask, 0.0))  # (B,)
        return torch.where(self.mask, old, new), logdet


class Elementwise(Flow):
    r"""Change every entry by a transform whose parameters are learned numbers, not a network's.

    With one feature this is a flow on the line.

    Args:
        features: D, entries of a vector x (B, D).
        transform: of single numbers, such as `RationalQuadratic()`.
        start: standard deviation of the initial parameters.
    """

    def __init__(self, features: int, transform: Transform, start: float = 0.0) -> None:
        super().__init__()
        self.transform = transform
        self.raw = nn.Parameter(start * torch.randn(transform.params, features))

    def forward(self, x: Tensor) -> Mapped:
        z, log_derivative = self.transform.forward(x, self.raw.expand(len(x), -1, -1))
        return z, sum_except_batch(log_derivative)

    def inverse(self, z: Tensor) -> Mapped:
        """Map z (B, D) to x (B, D)."""
        x, log_derivative = self.transform.inverse(z, self.raw.expand(len(z), -1, -1))
        return x, sum_except_batch(log_derivative)


def mlp_coupling(
    split: Halves | Subset,
    transform: Transform,
    hidden: Sequence[int] = (64, 64),
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    start: float = 0.0,
    frequency: float = 2.0,
) -> Coupling:
    """Build a coupling of vectors whose conditioner is an MLP of the right size.

    Args:
        split: `Halves` or `Subset`.
        transform: of single numbers, such as `Affine()`.
        hidden: widths of the MLP's hidden layers.
        activation: a name that `dgm.nn.MLP` knows.
        dropout: probability that a hidden unit is dropped in training.
        start: factor of the last layer's initial weights; 0 starts at the identity (of `Affine`).
        frequency: factor of the first layer's initial weights where the activation is the sine.

    Returns:
        The coupling.
    """
    conditioner = MLPConditioner(
        split.kept,
        split.changed,
        transform.params,
        hidden,
        activation=activation,
        dropout=dropout,
        start=start,
        frequency=frequency,
    )
    return Coupling(split, transform, conditioner)


def _checked_mask(mask: Tensor) -> Tensor:
    if mask.dtype != torch.bool or bool(mask.all()) or not bool(mask.any()):
        raise ValueError(
            f"mask must be bool with some entries True (kept) and some False (changed), got {mask.dtype} "
            f"with {int(mask.bool().sum())} of {mask.numel()} entries True"
        )
    return mask
