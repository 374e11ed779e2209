"""A multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "MLP", "Sine"]


class Sine(nn.Module):
    """The sine as an activation: y = sin(x). Smooth and periodic, at its best on low-dimensional inputs.

    Source: Sitzmann et al. 2020, without their factor omega_0.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sine": Sine,
}


class MLP(nn.Module):
    """Linear layers with an activation (and dropout) after every one of them but the last.

    h_0 = x,  h_l = dropout(activation(W_l h_{l-1} + b_l)),  y = W_L h_{L-1} + b_L

    Args:
        sizes: [in, hidden, ..., out], at least two.
        activation: "silu", "relu", "gelu", "tanh" or "sine".
        dropout: the probability of dropping a hidden unit, in [0, 1).
    Raises:
        ValueError: fewer than two sizes, a size below 1, an unknown activation, or a dropout outside [0, 1).
    """

    def __init__(self, sizes: Sequence[int], *, activation: str = "silu", dropout: float = 0.0) -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must be [in, hidden..., out] with every size >= 1, got {list(sizes)}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a probability in [0, 1), got {dropout}")
        layers: list[nn.Module] = []
        for size_in, size_out in pairwise(sizes[:-1]):
            layers += [nn.Linear(size_in, size_out), ACTIVATIONS[activation]()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(sizes[-2], sizes[-1]))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        out: Tensor = self.layers(x)
        return out
