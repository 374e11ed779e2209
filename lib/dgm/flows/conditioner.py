"""Networks that read the kept part of a coupling layer and write the parameters of the changed part.

All give (B, P, *shape of the changed part), P numbers per entry. Their last layer starts near zero, so
that a fresh coupling is close to the identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm.nn import MLP


class MLPConditioner(nn.Module):
    """From kept entries (B, inputs) to parameters (B, params, outputs) by an MLP.

    Args:
        inputs: number of kept entries.
        outputs: number of changed entries.
        params: P, numbers per changed entry.
        hidden: widths of the hidden layers.
        activation: a name that `dgm.nn.MLP` knows; "sine" does best in two dimensions.
        dropout: probability that a hidden unit is dropped in training.
        start: factor of the last layer's initial weights; 0 makes a fresh coupling the identity.
        frequency: factor of the first layer's initial weights where the activation is the sine.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        params: int,
        hidden: Sequence[int] = (64, 64),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        start: float = 0.0,
        frequency: float = 2.0,
    ) -> None:
        super().__init__()
        self.outputs, self.params = outputs, params
        mlp = MLP([inputs, *hidden, params * outputs], activation=activation, dropout=dropout)
        self.layers = mlp.layers
        _scale_start(self.layers[-1], start)
        if activation == "sine" and hidden:
            _spread_sines(self.layers[0], frequency)

    def forward(self, kept: Tensor) -> Tensor:
        """Map (B, inputs) to (B, params, outputs)."""
        h = kept
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                h = F.linear(h, layer.weight, layer.bias)  # without the cost of a module's call
            elif isinstance(layer, nn.ReLU):
                h = h.relu_()  # the linear layer below does not need its output, so autograd does not mind
            elif isinstance(layer, nn.Dropout):
                h = _dropped(h, layer.p) if self.training else h
            else:
                h = layer(h)
        return h.view(len(h), self.params, self.outputs)  # (B, P, outputs)


class ConvConditioner(nn.Module):
    """From kept channels (B, inputs, H, W) to parameters (B, params, outputs, H, W) by convolutions.

    Three of them, 3x3, 1x1 and 3x3, as in Glow.

    Args:
        inputs: number of channels read.
        outputs: number of channels whose parameters are written.
        params: P, numbers per changed entry.
        width: hidden channels.
        dropout: probability that a hidden channel is dropped in training.
        start: factor of the last layer's initial weights; 0 makes a fresh coupling the identity.

    Source: Kingma & Dhariwal 2018, section 4 (their hidden layers also have ActNorm).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        params: int,
        width: int = 64,
        *,
        dropout: float = 0.0,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        self.outputs, self.params = outputs, params
        layers: list[nn.Module] = [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 1), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout2d(dropout))
        layers.append(nn.Conv2d(width, params * outputs, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        _scale_start(layers[-1], start)

    def forward(self, kept: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, params, outputs, H, W)."""
        h = self.layers(kept)  # (B, P outputs, H, W)
        return h.unflatten(1, (self.params, self.outputs))  # (B, P, outputs, H, W)


def _dropped(h: Tensor, probability: float) -> Tensor:
    """`nn.Dropout`, whose single draws of bits take four times as long on a CPU as uniform numbers."""
    keep = 1 - probability
    return h * torch.rand_like(h).add_(keep).floor_().mul_(1 / keep)


@torch.no_grad()
def _scale_start(layer: nn.Module, factor: float) -> None:
    """Multiply a layer's initial weights and biases."""
    for parameter in layer.parameters():
        parameter.mul_(factor)


@torch.no_grad()
def _spread_sines(layer: nn.Module, frequency: float) -> None:
    """Give a first layer of sines higher frequencies, and with few inputs phases that cover the circle.

    On two moons this halved the KL after 400 steps.
    """
    assert isinstance(layer, nn.Linear)
    layer.weight.mul_(frequency)
    layer.bias.mul_(3)
