"""An exponential moving average of a model's weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["EMA"]


class EMA:
    """Keep a smoothed copy of a model, which samples better than the last noisy step of training.

    average_n = decay average_{n-1} + (1 - decay) weights_n,  average_0 = weights_0

    so average_n = decay^n weights_0 + (1 - decay) sum_{i=1..n} decay^(n-i) weights_i: a mean over about the
    last 1 / (1 - decay) steps. Buffers (such as batch norm's statistics) are copied, not averaged.

    `model` is the averaged copy: in eval mode, without gradients. Call `update()` after each optimiser step.

    Args:
        model: the model in training; the copy starts from its present weights.
        decay: in [0, 1); .995 suits a few thousand steps.
    Raises:
        ValueError: `decay` is outside [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must lie in [0, 1), got {decay}; .995 suits a few thousand steps")
        self.decay = decay
        self.source = model
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        for parameter in self.model.parameters():
            parameter.grad = None

    @torch.no_grad()
    def update(self) -> None:
        """Take one step of the average towards the model's present weights."""
        averages: list[Tensor] = list(self.model.parameters())
        weights: list[Tensor] = list(self.source.parameters())
        if averages:
            torch._foreach_lerp_(averages, weights, 1 - self.decay)  # one call for all tensors
        for copied, buffer in zip(self.model.buffers(), self.source.buffers(), strict=True):
            copied.copy_(buffer)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged model's state (the decay is not part of it)."""
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over an averaged model's state; every name and shape must fit."""
        self.model.load_state_dict(state)
