"""Convolutions that look only at what was drawn before, by weights that are held at zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MaskedConv2d", "left_mask", "raster_mask", "rows_above_mask"]


def raster_mask(size: int, centre: bool) -> Tensor:
    """1 where a pixel comes before the centre in raster order: all rows above, and the own row to the left.

    Args:
        size: of the square kernel, odd.
        centre: whether the centre counts: no in a first layer (mask A), yes where the input at the centre
            already knows only earlier pixels (mask B).
    Returns:
        (size, size), 0 or 1.
    Raises:
        ValueError: an even size.

    Source: van den Oord, Kalchbrenner & Kavukcuoglu 2016, section 3.4.
    Equation: ar-mask
    Test: tests/equations/test_autoregressive.py::test_masks_keep_what_comes_first_in_raster_order
    """
    return torch.cat([rows_above_mask(size, False)[: size // 2], left_mask(size, centre)[size // 2 :]])


def rows_above_mask(size: int, own_row: bool) -> Tensor:
    """1 in the rows above the centre, all columns; with `own_row` in the centre's row too.

    Args:
        size: of the square kernel, odd.
        own_row: whether the centre's row counts.
    Returns:
        (size, size), 0 or 1.
    Raises:
        ValueError: an even size.
    """
    row = _offsets(size)[:, None].expand(size, size)  # 0 at the centre, negative above it
    return ((row < 0) | (own_row & (row == 0))).float()


def left_mask(size: int, centre: bool) -> Tensor:
    """1 in the centre's row, left of the centre; with `centre` at the centre too.

    Args:
        size: of the square kernel, odd.
        centre: whether the centre counts.
    Returns:
        (size, size), 0 or 1.
    Raises:
        ValueError: an even size.
    """
    offset = _offsets(size)
    row, column = offset[:, None], offset[None, :]
    return ((row == 0) & ((column < 0) | (centre & (column == 0)))).float()


def _offsets(size: int) -> Tensor:
    if size < 1 or size % 2 == 0:
        raise ValueError(f"a kernel with a centre has an odd size, got {size}")
    return torch.arange(size) - size // 2


class MaskedConv2d(nn.Conv2d):
    """A convolution whose weights are multiplied by a mask; the image keeps its size.

    y = (W * mask) conv x + b

    Args:
        channels_in: of the input.
        channels_out: of the output.
        mask: (k, k), 0 or 1, k odd; one for all pairs of channels.
    """

    mask: Tensor

    def __init__(self, channels_in: int, channels_out: int, mask: Tensor) -> None:
        super().__init__(channels_in, channels_out, len(mask), padding=len(mask) // 2)
        self.register_buffer("mask", mask.clone(), persistent=False)
        with torch.no_grad():
            # As many weights as are left set the scale; the usual start counts those that the mask removes.
            self.weight.mul_(self.mask * (mask.numel() / mask.sum().clamp(min=1)).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H, W)."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)
