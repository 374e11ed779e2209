"""A residual MLP to predict x0, eps, v or the score of points and small images (larger: `dgm.nn.UNet`)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dgm.nn.condition import Conditioning, scale_and_shift
from dgm.tensor import check_shape


class MLPBlock(nn.Module):
    """A residual block with the condition's scale and shift: h + W_2 silu(FiLM(norm(W_1 silu(norm(h))))).

    Args:
        width: of h.
        condition: length of the condition vector.
        dropout: probability of dropping a hidden unit.
    """

    def __init__(self, width: int, condition: int, dropout: float) -> None:
        super().__init__()
        self.norm_in, self.norm_out = nn.LayerNorm(width), nn.LayerNorm(width)
        self.linear_in, self.linear_out = nn.Linear(width, width), nn.Linear(width, width)
        self.film = nn.Linear(condition, 2 * width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        """Map h (B, width) and condition (B, E) to (B, width)."""
        inner = self.linear_in(F.silu(self.norm_in(h)))
        inner = scale_and_shift(self.norm_out(inner), self.film(condition))
        out: Tensor = h + self.linear_out(self.dropout(F.silu(inner)))
        return out


class MLPNetwork(nn.Module):
    """Residual blocks on the flattened input, told a time and, where it has classes, a label.

    The output is zero at the start.

    Args:
        shape: of one x, such as (2,) or (1, 8, 8).
        width: of the hidden layers.
        blocks: number of residual blocks.
        classes: K, number of labels; 0 for none. Label K means "no label".
        outputs: results put out, side by side along the first axis after the batch; 2 for a learned variance.
        time_scale: what t is multiplied by before it is embedded: 1 for steps 0..1000, 1000 for t in [0, 1].
        dropout: inside the residual blocks.
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int = 128,
        blocks: int = 3,
        *,
        classes: int = 0,
        outputs: int = 1,
        time_scale: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape, self.outputs = tuple(shape), outputs
        dims = torch.Size(self.shape).numel()
        self.condition = Conditioning(64, width, classes, time_scale)
        self.first = nn.Linear(dims, width)
        self.blocks = nn.ModuleList(MLPBlock(width, width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, dims * outputs)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """Map x (B, C, ...), times t (B,) and labels y (B,) to (B, outputs * C, ...).

        Labels run from 0 to K, where K means none; y = None means none for all.
        """
        check_shape("x", x, ("B", *self.shape))
        condition = self.condition(t, y, x)
        h = self.first(x.flatten(1))
        for block in self.blocks:
            h = block(h, condition)
        out: Tensor = self.last(F.silu(self.norm(h)))
        return out.reshape(len(x), self.outputs * self.shape[0], *self.shape[1:])
