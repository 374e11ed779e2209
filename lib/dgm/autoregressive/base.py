"""What every autoregressive model is: a network from levels to the logits of all conditionals at once."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from dgm.prob import categorical_log_prob

__all__ = ["Autoregressive", "dependence"]


class Autoregressive(nn.Module, ABC):
    r"""A distribution over whole levels, as a product of conditionals in raster order.

    $p(x) = \prod_{i=1}^{D} p(x_i \mid x_1, \dots, x_{i-1})$

    A subclass writes `logits`; position i of what it returns may depend on positions before i alone.

    Args:
        levels: L, how many values a position may take, at least 2.
        shape: of one x, such as (1, 8, 8) for a grey image; raster order is the order of `x.flatten(1)`.
        classes: how many labels y there are; 0 for a model without labels.

    Raises:
        ValueError: fewer than 2 levels, an empty shape or a negative number of classes.

    Source: van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel recurrent neural networks", eq. (1).
    Equation: ar-chain
    Test: tests/equations/test_autoregressive.py::test_conditionals_of_the_enumerated_joint_are_the_networks
    """

    def __init__(self, levels: int, shape: tuple[int, ...], classes: int = 0) -> None:
        super().__init__()
        if levels < 2 or not shape or min(shape) < 1 or classes < 0:
            raise ValueError(
                "expected levels of at least 2, a shape of positive lengths and classes of at least 0, got "
                f"levels={levels}, shape={shape}, classes={classes}"
            )
        self.levels, self.shape, self.classes = levels, tuple(shape), classes

    @property
    def dims(self) -> int:
        """D, the number of positions."""
        return math.prod(self.shape)

    @abstractmethod
    def logits(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Map checked levels (B, *shape), int64, and labels (B,) or None to logits (B, *shape, L)."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits of every conditional.

        Args:
            x: (B, *shape), whole levels 0 .. L - 1.
            y: (B,), labels 0 .. classes - 1; only for a model with classes, which needs them.
        Returns:
            (B, *shape, L): unnormalised log p(x_i = l | x before i) at position i.
        Raises:
            ValueError: on another shape, values that are no levels, or missing, surplus or wrong labels.
        """
        self.check(x, y)
        return self.logits(x.long(), y)

    def logits_at(self, x: Tensor, position: int, y: Tensor | None = None) -> Tensor:
        """The logits of one position, all that a sampler asks for at a time.

        A model that can answer this for less than a whole pass says so by a method of its own.

        Args:
            x: (B, *shape), whole levels; those at `position` and after it do not matter.
            position: 0 .. D - 1, in raster order.
            y: (B,) labels.
        Returns:
            (B, L).
        Raises:
            ValueError: as `forward`.
        """
        return self(x, y).reshape(len(x), self.dims, -1)[:, position]

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The exact log-probability, summed over positions.

        Args:
            x: (B, *shape), whole levels 0 .. L - 1.
            y: (B,) labels.
        Returns:
            (B,) nats.
        Raises:
            ValueError: as `forward`.
        """
        return categorical_log_prob(self(x, y), x)

    def check(self, x: Tensor, y: Tensor | None) -> None:
        """Raise a ValueError unless x and y are what `forward` takes."""
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(
                f"x must have shape (B, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}"
            )
        if x.is_floating_point():
            raise ValueError(f"x must hold whole levels 0 .. {self.levels - 1} as integers, got {x.dtype}")
        _check_range("x", x, self.levels)
        if (y is None) != (self.classes == 0):
            wanted = f"labels y (B,) in 0 .. {self.classes - 1}" if self.classes else "no labels"
            raise ValueError(f"this model takes {wanted}, got y={'None' if y is None else 'a tensor'}")
        if y is not None:
            if tuple(y.shape) != (len(x),):
                raise ValueError(f"y must have shape (B,) = ({len(x)},), got {tuple(y.shape)}")
            _check_range("y", y, self.classes)


def _check_range(name: str, values: Tensor, stop: int) -> None:
    if values.numel() and (int(values.min()) < 0 or int(values.max()) >= stop):
        raise ValueError(
            f"{name} must lie in 0 .. {stop - 1}, got {int(values.min())} .. {int(values.max())}"
        )


@torch.no_grad()
def dependence(model: Autoregressive, x: Tensor, y: Tensor | None = None) -> Tensor:
    """Which position's logits change when which pixel does, found by changing one pixel at a time.

    Args:
        model: in eval mode, or dropout changes everything.
        x: one image, shape `model.shape`.
        y: () its label.
    Returns:
        (D, D): entry (i, j) is the largest change of a logit at position i over all other levels of pixel j.
        An autoregressive model has zeros on and above the diagonal; further zeros below it are blind spots.
    Raises:
        ValueError: as `forward`.
    """
    labels = None if y is None else y.reshape(1).expand(model.dims)

    def logits_of(rows: Tensor) -> Tensor:
        return model(rows.reshape(-1, *model.shape), labels).reshape(model.dims, model.dims, -1)

    rows = x.flatten().repeat(model.dims, 1)  # (D, D)
    # In a batch as large as the others: another size may round otherwise, and zeros would not be zeros.
    base = logits_of(rows)  # (D, D, L)
    change = torch.zeros(model.dims, model.dims, dtype=base.dtype, device=base.device)
    for step in range(1, model.levels):
        moved = rows.clone()  # row j changes pixel j
        moved.diagonal().copy_((moved.diagonal().long() + step) % model.levels)
        change = torch.maximum(change, (logits_of(moved) - base).abs().amax(2).T)  # (i, j)
    return change
