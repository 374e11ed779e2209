"""PixelCNN: masked convolutions give all conditionals in one pass. The plain one has a blind spot.

A stack of raster-masked 3x3 convolutions reaches one column to the right per row that it climbs: what lies
farther right in the rows above, it never sees. Two stacks cure it: a vertical one, which sees whole
rows above, feeds a horizontal one, which sees the own row to the left.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from dgm.autoregressive.base import Autoregressive
from dgm.autoregressive.masked import MaskedConv2d, left_mask, raster_mask, rows_above_mask

__all__ = ["GatedPixelCNN", "PixelCNN"]


class _Convolutional(Autoregressive):
    """What both PixelCNNs share: grey levels in, logits out."""

    def __init__(self, levels: int, shape: tuple[int, int, int], width: int, classes: int) -> None:
        super().__init__(levels, shape, classes)
        if len(shape) != 3 or shape[0] != 1:
            raise ValueError(f"shape must be (1, H, W), one grey channel, got {shape}")
        self.label = nn.Embedding(classes, width) if classes else None

    def encode(self, x: Tensor) -> Tensor:
        """Map levels (B, 1, H, W) to two real channels (B, 2, H, W): the grey in [-1, 1], and ones.

        The ones tell a dark pixel from the zeros beyond the border.
        """
        grey = x.to(next(self.parameters()).dtype) * (2 / (self.levels - 1)) - 1  # (B, 1, H, W)
        return torch.cat([grey, torch.ones_like(grey)], 1)

    def decode(self, h: Tensor, y: Tensor | None) -> Tensor:
        """Map the two channels of `encode` to logits (B, 1, H, W, L)."""
        raise NotImplementedError

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        return self.decode(self.encode(x), y)

    def shift_of(self, y: Tensor | None) -> Tensor | float:
        """What a label adds to every pixel's channels: (B, width, 1, 1), or 0 without labels."""
        return 0.0 if self.label is None else self.label(y)[:, :, None, None]


class PixelCNN(_Convolutional):
    """Residual layers of raster-masked 3x3 convolutions after a first one that leaves the centre out.

    Args:
        levels: L.
        shape: (1, H, W).
        width: channels.
        layers: number of residual layers.
        first: size of the first kernel, odd.
        dropout: in every residual layer.
        classes: number of labels; 0 for none.

    Source: van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel recurrent neural networks", section 3.
    Equation: ar-reach
    Test: tests/equations/test_autoregressive.py::test_what_a_stack_of_masked_convolutions_sees
    """

    def __init__(
        self,
        levels: int,
        shape: tuple[int, int, int],
        width: int = 48,
        layers: int = 4,
        *,
        first: int = 5,
        dropout: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__(levels, shape, width, classes)
        self.first = MaskedConv2d(2, width, raster_mask(first, centre=False))
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.ReLU(), nn.Dropout2d(dropout), MaskedConv2d(width, width, raster_mask(3, centre=True))
            )
            for _ in range(layers)
        )
        self.out = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, levels, 1)
        )

    def decode(self, h: Tensor, y: Tensor | None) -> Tensor:
        """Map the two channels of `encode` to logits (B, 1, H, W, L)."""
        h = self.first(h) + self.shift_of(y)  # (B, C, H, W)
        for layer in self.layers:
            h = h + layer(h)
        return self.out(h).unsqueeze(1).movedim(2, -1)  # (B, 1, H, W, L)


class GatedPixelCNN(_Convolutional):
    """Two stacks without a blind spot: rows above, and the own row to the left; tanh times sigmoid gates.

    y = tanh(W_f * x) sigmoid(W_g * x), in both stacks; the vertical stack feeds the horizontal one.

    Args:
        levels: L.
        shape: (1, H, W).
        width: channels of each stack.
        layers: number of layers after the first.
        first: size of the first kernels, odd.
        dropout: on the input of every layer but the first.
        classes: number of labels; 0 for none.

    Source: van den Oord et al. 2016, "Conditional image generation with PixelCNN decoders", eq. (2).
    Equation: ar-gate
    Test: tests/equations/test_autoregressive.py::test_two_gated_stacks_by_loops_over_single_pixels
    """

    def __init__(
        self,
        levels: int,
        shape: tuple[int, int, int],
        width: int = 32,
        layers: int = 3,
        *,
        first: int = 5,
        dropout: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__(levels, shape, width, classes)
        sizes = [2] + [width] * (layers + 1)
        self.dropout = nn.Dropout2d(dropout)
        self.vertical, self.horizontal, self.across = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for number, (size_in, size_out) in enumerate(pairwise(sizes)):
            # The first layer sees the image, so it leaves the own row, or pixel, out; later ones see features
            # of a pixel that know only what came before it.
            later, kernel = number > 0, 3 if number else first
            self.vertical.append(MaskedConv2d(size_in, 2 * size_out, rows_above_mask(kernel, later)))
            self.horizontal.append(MaskedConv2d(size_in, 2 * size_out, left_mask(kernel, later)))
            self.across.append(nn.Conv2d(2 * size_out, 2 * size_out, 1))
        self.out = nn.Sequential(
            nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, levels, 1)
        )

    def decode(self, h: Tensor, y: Tensor | None) -> Tensor:
        """Map the two channels of `encode` to logits (B, 1, H, W, L)."""
        above, left, shift = h, h, self.shift_of(y)
        stacks = zip(self.vertical, self.horizontal, self.across, strict=True)
        for number, (vertical, horizontal, across) in enumerate(stacks):
            if number:
                above, left = self.dropout(above), self.dropout(left)
            v = vertical(above)  # (B, 2 C, H, W)
            # Rows above the own pixel, not the own row: `v` at a pixel knows no more than that.
            gated = _gate(horizontal(left) + across(v)) + shift  # (B, C, H, W)
            above = _gate(v) + (above if number else 0.0)
            left = gated + (left if number else 0.0)
        return self.out(left).unsqueeze(1).movedim(2, -1)  # (B, 1, H, W, L)


def _gate(h: Tensor) -> Tensor:
    """(B, 2 C, H, W) to (B, C, H, W)."""
    signal, gate = h.chunk(2, 1)
    return signal.tanh() * gate.sigmoid()
