"""What a network is told beside its input: a time and a label, as one vector; and how it enters a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dgm.nn.embed import sinusoidal
from dgm.nn.mlp import MLP
from dgm.tensor import check_shape

__all__ = ["Conditioning", "scale_and_shift"]


class Conditioning(nn.Module):
    """One vector for a time and a label: an MLP of the time's waves, plus the label's vector, through SiLU.

    Args:
        waves: length of the time's sinusoidal embedding, even.
        width: E, length of the result.
        classes: K, number of labels; 0 for none. Label K means "no label".
        time_scale: what t is multiplied by first: 1 for steps 0..1000, 1000 for t in [0, 1].
    """

    def __init__(self, waves: int, width: int, classes: int = 0, time_scale: float = 1.0) -> None:
        super().__init__()
        self.waves, self.classes, self.time_scale = waves, classes, time_scale
        self.net = MLP([waves, width, width])
        self.labels = nn.Embedding(classes + 1, width) if classes else None

    def forward(self, t: Tensor, y: Tensor | None, like: Tensor) -> Tensor:
        """Map t (B,) and y (B,) or None to (B, E), in the dtype of like (B, ...).

        Args:
            t: times, whole or real.
            y: labels 0..K; None means K for all.
            like: the batch that the vector is for.
        Raises:
            ValueError: shapes that do not fit, labels out of range, or labels without classes.
        """
        batch = len(like)
        check_shape("t", t, (batch,), "give one time per example: t.expand(B)")
        h: Tensor = self.net(sinusoidal(t.to(like) * self.time_scale, self.waves))
        if self.labels is None:
            if y is not None:
                raise ValueError("y was given to a network without classes; build it with classes=K")
            return nn.functional.silu(h)
        if y is None:
            y = torch.full((batch,), self.classes, device=like.device)
        check_shape("y", y, (batch,), "give one label per example")
        if y.is_floating_point() or (batch and not 0 <= int(y.min()) <= int(y.max()) <= self.classes):
            raise ValueError(
                f"y must hold whole labels 0 .. {self.classes}, where {self.classes} means none, got "
                f"{y.dtype} from {y.min().item()} to {y.max().item()}"
            )
        out: Tensor = nn.functional.silu(h + self.labels(y))
        return out


def scale_and_shift(h: Tensor, film: Tensor) -> Tensor:
    """Scale and shift every channel of h: (1 + scale) h + shift.

    Args:
        h: (B, C, ...).
        film: (B, 2C): the scales, then the shifts.
    Returns:
        (B, C, ...).
    Source: Perez et al. 2018 (FiLM).
    """
    batch, channels = h.shape[:2]
    check_shape("film", film, (batch, 2 * channels))
    scale, shift = film.reshape(batch, 2, channels, *[1] * (h.ndim - 2)).unbind(1)  # each (B, C, 1, ..., 1)
    return torch.addcmul(shift, h, 1 + scale)
