"""The U-Net: down to a coarse image and up again, with the fine ones kept beside and handed across."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgm.nn.attend import SelfAttention
from dgm.nn.condition import Conditioning, scale_and_shift
from dgm.tensor import check_shape

__all__ = ["UNet"]


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity; the condition scales and shifts the channels between them (FiLM).

    h = conv(silu(norm(x))),  y = skip(x) + conv(dropout(silu((1 + scale) norm(h) + shift)))

    It starts as the identity: the last convolution is zero.

    Args:
        channels_in: of x.
        channels_out: of the result.
        condition: length of the condition vector.
        dropout: probability of dropping a channel's value before the second convolution.
    """

    def __init__(self, channels_in: int, channels_out: int, condition: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = _norm(channels_in)
        self.conv_in = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.film = nn.Linear(condition, 2 * channels_out)
        self.norm_out = _norm(channels_out)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = zeroed(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        same = channels_in == channels_out
        self.skip = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map x (B, C_in, H, W) and condition (B, E) to (B, C_out, H, W)."""
        h = self.conv_in(F.silu(self.norm_in(x)))
        h = scale_and_shift(self.norm_out(h), self.film(condition))
        out: Tensor = self.skip(x) + self.conv_out(self.dropout(F.silu(h)))
        return out


class AttentionBlock(nn.Module):
    """Self-attention of an image's pixels beside the identity: y = x + attention(norm(x)).

    Args:
        channels: of x.
        heads: of the attention.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.attention = SelfAttention(channels, heads)
        zeroed(self.attention.out)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        out: Tensor = x + self.attention(self.norm(x))
        return out


class UNet(nn.Module):
    """A U-Net for images of any size, told a time and, where it has classes, a label.

    Each level holds `blocks` residual blocks on the way down and one more on the way up, where every output
    of the way down comes in again beside the running result. Between levels the side is halved (rounded up)
    by a strided convolution, and doubled back to the very size that it had. Attention is on the coarsest
    level. The output is zero at the start.

    Args:
        channels: C of the image.
        width: channels of the finest level.
        mults: the levels' channels, as multiples of `width`, from fine to coarse.
        blocks: residual blocks per level on the way down.
        attention: attention on the coarsest level.
        heads: of the attention.
        classes: K, number of labels; 0 for none. Label K means "no label".
        outputs: images put out, side by side in the channels; 2 for a learned variance.
        time_scale: what t is multiplied by before it is embedded: 1 for steps 0..1000, 1000 for t in [0, 1].
        dropout: inside the residual blocks.

    Raises:
        ValueError: no level, a width that its groups do not divide, or a count below 1.

    Source: Ho, Jain & Abbeel 2020, appendix B; scale and shift: Nichol & Dhariwal 2021.
    """

    def __init__(
        self,
        channels: int,
        width: int = 32,
        mults: Sequence[int] = (1, 2),
        *,
        blocks: int = 1,
        attention: bool = True,
        heads: int = 1,
        classes: int = 0,
        outputs: int = 1,
        time_scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not mults or min(channels, width, blocks, outputs, *mults) < 1:
            raise ValueError(
                "channels, width, blocks, outputs and every one of mults must be at least 1, got "
                f"{channels}, {width}, {blocks}, {outputs} and {tuple(mults)}"
            )
        if width % 8:
            raise ValueError(f"width must be a multiple of 8, for the groups of its norms, got {width}")
        self.channels, self.classes, self.outputs = channels, classes, outputs
        self.condition = Conditioning(width, 4 * width, classes, time_scale)
        sizes = [width * m for m in mults]

        def residual(channels_in: int, channels_out: int) -> ResidualBlock:
            return ResidualBlock(channels_in, channels_out, 4 * width, dropout)

        def attend(level: int) -> nn.Module:
            coarsest = level == len(sizes) - 1
            return AttentionBlock(sizes[level], heads) if attention and coarsest else nn.Identity()

        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down, self.halve = nn.ModuleList(), nn.ModuleList()
        self.up, self.narrow = nn.ModuleList(), nn.ModuleList()
        kept, here = [width], width  # channels of what is handed across, and of the running result
        for level, size in enumerate(sizes):
            for _ in range(blocks):
                self.down.append(nn.ModuleList([residual(here, size), attend(level)]))
                here = size
                kept.append(here)
            if level < len(sizes) - 1:
                self.halve.append(nn.Conv2d(here, here, 3, stride=2, padding=1))
                kept.append(here)
        self.middle = nn.ModuleList([residual(here, here), attend(len(sizes) - 1), residual(here, here)])
        for level in reversed(range(len(sizes))):
            for _ in range(blocks + 1):
                self.up.append(residual(here + kept.pop(), sizes[level]))
                here = sizes[level]
            if level:
                here = sizes[level - 1]
                self.narrow.append(nn.Conv2d(sizes[level], here, 3, padding=1))
        self.blocks, self.levels = blocks, len(sizes)
        self.last = nn.Sequential(
            _norm(here), nn.SiLU(), zeroed(nn.Conv2d(here, channels * outputs, 3, padding=1))
        )

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Map images x (B, C, H, W), times t (B,) and labels y (B,) to (B, outputs * C, H, W).

        Args:
            x: images of any height and width.
            t: times, whole or real.
            y: labels 0..K, where K means none; None means none for all.
        Returns:
            `outputs` images per image, side by side in the channels.
        Raises:
            ValueError: shapes that do not fit, or labels for a network without classes.
        """
        check_shape("x", x, ("B", self.channels, "H", "W"))
        condition = self.condition(t, y, x)  # (B, 4 width)
        h = self.first(x)
        kept = [h]
        down = iter(self.down)
        for level in range(self.levels):
            for _ in range(self.blocks):
                h = _apply(next(down), h, condition)
                kept.append(h)
            if level < self.levels - 1:
                h = self.halve[level](h)
                kept.append(h)
        first, attend, second = self.middle
        h = second(attend(first(h, condition)), condition)
        up = iter(self.up)
        for level in reversed(range(self.levels)):
            for _ in range(self.blocks + 1):
                h = next(up)(torch.cat([h, kept.pop()], dim=1), condition)
            if level:
                h = self.narrow[self.levels - 1 - level](h)
                # To the size of what waits there, which for odd sides is not twice this one.
                h = F.interpolate(h, size=kept[-1].shape[-2:], mode="nearest")
        out: Tensor = self.last(h)
        return out


def zeroed(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """The same layer with all of its weights 0, so that what it is added to starts unchanged."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(8, channels)


def _apply(pair: nn.Module, h: Tensor, condition: Tensor) -> Tensor:
    assert isinstance(pair, nn.ModuleList)
    residual, attend = pair
    out: Tensor = attend(residual(h, condition))
    return out
