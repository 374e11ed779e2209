"""One small network for every pixel: it reads the nearest pixels drawn before, and a summary of the rest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgm.autoregressive.base import Autoregressive

__all__ = ["CausalNeighbours"]


class CausalNeighbours(Autoregressive):
    """A residual MLP on a causal window, the running sums so far, and the position.

    The window holds the 2 r (r + 1) pixels within r rows above and r columns to either side that come before
    the own pixel. The sums are of all earlier pixels, and of each column above the own row: they tell how
    thick the strokes are and where ink has been, which a small window cannot see.

    Args:
        levels: L.
        shape: (1, H, W).
        radius: r of the window.
        width: of the network.
        blocks: number of residual blocks.
        dropout: of hidden channels, for all pixels of an image alike: in the blocks, and a third of it on the
            first layer's output. One draw per channel costs a sixtieth of one per pixel and regularises more.
        classes: number of labels; 0 for none.
    Raises:
        ValueError: another shape, or a radius below 1.
    """

    def __init__(
        self,
        levels: int,
        shape: tuple[int, int, int],
        radius: int = 2,
        width: int = 96,
        blocks: int = 2,
        *,
        dropout: float = 0.0,
        classes: int = 0,
    ) -> None:
        super().__init__(levels, shape, classes)
        if len(shape) != 3 or shape[0] != 1:
            raise ValueError(f"shape must be (1, H, W), one grey channel, got {shape}")
        if radius < 1:
            raise ValueError(f"radius must be at least 1, got {radius}")
        self.radius = radius
        neighbours = 2 * radius * (radius + 1)
        # A table per neighbour and level is the first linear layer on one-hot inputs; level L is "outside".
        self.window = nn.EmbeddingBag(neighbours * (levels + 1), width, mode="sum")
        self.numbers = nn.Linear(neighbours + 1 + shape[2], width)
        self.position = nn.Parameter(torch.zeros(shape[1] * shape[2], width))
        self.label = nn.Embedding(classes, width) if classes else None
        nn.init.normal_(self.window.weight, std=neighbours**-0.5 / 2)
        self.first_dropout = _ChannelDropout(dropout / 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, width),
                nn.SiLU(),
                _ChannelDropout(dropout),
                nn.Linear(width, width),
            )
            for _ in range(blocks)
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, levels))

    def neighbours_of(self, x: Tensor) -> Tensor:
        """The causal window of every pixel: (B, 1, H, W) levels to (B, H W, N), L where it lies outside."""
        r, (_, height, width) = self.radius, self.shape
        padded = F.pad(x[:, 0], (r, r, r, 0), value=self.levels)  # (B, H + r, W + 2 r)
        before = [(dy, dx) for dy in range(-r, 1) for dx in range(-r, r + 1) if dy < 0 or dx < 0]
        shifts = [padded[:, r + dy : r + dy + height, r + dx : r + dx + width] for dy, dx in before]
        return torch.stack(shifts, -1).flatten(1, 2)  # (B, H W, N)

    def sums_before(self, x: Tensor) -> Tensor:
        """(B, H W, 1 + W): what was drawn before each pixel, in all and in each column above its row."""
        grey = x[:, 0].to(self.position.dtype) / (self.levels - 1)  # (B, H, W)
        flat = grey.flatten(1)
        before = (flat.cumsum(1) - flat)[..., None] / self.dims  # (B, H W, 1)
        above = (grey.cumsum(1) - grey) / self.shape[1]  # (B, H, W): column sums of the rows above
        columns = above[:, :, None].expand(-1, -1, self.shape[2], -1).flatten(1, 2)  # (B, H W, W)
        return torch.cat([before, columns], -1)

    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Map checked levels (B, *shape), int64, and labels (B,) or None to logits (B, *shape, L)."""
        return self._read(x, y, slice(None)).reshape(*x.shape, self.levels)

    def logits_at(self, x: Tensor, position: int, y: Tensor | None = None) -> Tensor:
        """The logits (B, L) of one position, for the price of one: it reads its window only."""
        self.check(x, y)
        return self._read(x.long(), y, slice(position, position + 1))[:, 0]

    def _read(self, x: Tensor, y: Tensor | None, at: slice) -> Tensor:
        """The logits of n positions, (B, n, L)."""
        window = self.neighbours_of(x)[:, at]  # (B, n, N)
        tables = torch.arange(window.shape[-1], device=x.device) * (self.levels + 1)
        inside = window < self.levels
        grey = torch.where(inside, window, 0).to(self.position.dtype) / (self.levels - 1)
        h = self.window((window + tables).flatten(0, 1)).reshape(*window.shape[:2], -1)  # (B, n, width)
        h = h + self.numbers(torch.cat([grey, self.sums_before(x)[:, at]], -1)) + self.position[at]
        if self.label is not None:
            h = h + self.label(y)[:, None]
        h = self.first_dropout(h)
        for block in self.blocks:
            h = h + block(h)
        out: Tensor = self.out(h)  # (B, n, L)
        return out


class _ChannelDropout(nn.Module):
    """Drop channels of (B, N, C) for all N positions of an example alike."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, h: Tensor) -> Tensor:
        return h * F.dropout(h.new_ones(len(h), 1, h.shape[2]), self.p, self.training)
