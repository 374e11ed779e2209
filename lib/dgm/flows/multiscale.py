"""Squeeze trades pixels for channels; multi-scale sends half of the channels to the base at every level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm.flows.base import Flow, Mapped
from dgm.tensor import check_shape


def squeeze(x: Tensor) -> Tensor:
    """Put every 2x2 block of pixels into the channels, a permutation of the entries.

    Channel 4 c + 2 i + j of the result holds, of channel c, the pixels of row parity i and column parity j.

    Args:
        x: (B, C, H, W), H and W even.

    Returns:
        (B, 4 C, H/2, W/2).

    Raises:
        ValueError: H or W is odd.

    Source: Dinh et al. 2017, section 3.6.
    Equation: glow-squeeze
    Test: tests/equations/test_glow.py::test_squeeze_puts_every_pixel_where_the_equation_says
    """
    if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2:
        raise ValueError(f"x must have shape (B, C, H, W) with even H and W, got {tuple(x.shape)}")
    return F.pixel_unshuffle(x, 2)


def unsqueeze(z: Tensor) -> Tensor:
    """Undo `squeeze`.

    Args:
        z: (B, 4 C, H, W).

    Returns:
        (B, C, 2 H, 2 W).
    """
    return F.pixel_shuffle(z, 2)


class Squeeze(Flow):
    """`squeeze` as a flow; the log-determinant is 0."""

    def forward(self, x: Tensor) -> Mapped:
        return squeeze(x), x.new_zeros(len(x))

    def inverse(self, z: Tensor) -> Mapped:
        """Undo the squeeze."""
        return unsqueeze(z), z.new_zeros(len(z))


class MultiScale(Flow):
    r"""Levels of flows; after each but the last, half of the channels are finished and go to z.

    $(z^{(i)}, h^{(i)}) = f^{(i)}(h^{(i-1)})$, $z^{(L)} = f^{(L)}(h^{(L-1)})$,
    $z = (z^{(1)}, \dots, z^{(L)})$, flattened into a vector: (B, C H W).

    Args:
        shape: (C, H, W) of one x.
        levels: the flows f; each keeps the number of entries, and may squeeze.

    Source: Dinh et al. 2017, section 3.6.
    Equation: glow-multiscale, glow-multiscale-logprob
    Test: tests/equations/test_glow.py::test_first_half_of_the_channels_leaves_after_each_level
    """

    def __init__(self, shape: tuple[int, int, int], levels: Sequence[Flow]) -> None:
        super().__init__()
        self.shape = shape
        self.levels = nn.ModuleList(levels)
        # Where z^(i) lies in z is found by sending one image through; that must not start an ActNorm.
        self._shapes: list[torch.Size] = []
        training = self.training
        self.eval()
        with torch.no_grad():
            h = torch.zeros(1, *shape)
            for i, level in enumerate(levels):
                h, _ = level(h)
                self._shapes.append(h.shape[1:])
                if i + 1 < len(levels):
                    if h.shape[1] % 2:
                        raise ValueError(
                            f"level {i} gives {h.shape[1]} channels, which cannot be halved; squeeze first"
                        )
                    h = h[:, h.shape[1] // 2 :]
        self.train(training)

    def forward(self, x: Tensor) -> Mapped:
        check_shape("x", x, ("B", *self.shape))
        h, total, finished = x, x.new_zeros(len(x)), []
        for i, level in enumerate(self.levels):
            h, logdet = level(h)
            total = total + logdet
            if i + 1 < len(self.levels):
                out, h = h.chunk(2, dim=1)
                finished.append(out.flatten(1))
        return torch.cat([*finished, h.flatten(1)], dim=1), total

    def inverse(self, z: Tensor) -> Mapped:
        """Map the vector z (B, C H W) to images x (B, C, H, W)."""
        *halved, last = [math.prod(shape) for shape in self._shapes]
        parts = list(z.split([*(size // 2 for size in halved), last], dim=1))
        h = parts.pop().reshape(len(z), *self._shapes[-1])
        total = z.new_zeros(len(z))
        for i in reversed(range(len(self.levels))):
            if i + 1 < len(self.levels):
                channels, *pixels = self._shapes[i]
                h = torch.cat([parts.pop().reshape(len(z), channels // 2, *pixels), h], dim=1)
            h, logdet = cast(Flow, self.levels[i]).inverse(h)
            total = total + logdet
        return h, total
