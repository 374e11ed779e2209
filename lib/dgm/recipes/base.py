"""What a recipe and a trained model of the digits are, whatever the family."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BUDGETS = ("full", "quarter")
LEVELS, SHAPE, DIMS = 17, (1, 8, 8), 64  # of the digits


class Model(ABC):
    """A trained model of the digits.

    Args:
        network: what samples (and rates) after training, in eval mode.
        best_step: of the kept weights, where validation chose them; None where the last ones were kept.
    """

    def __init__(self, network: nn.Module, best_step: int | None = None) -> None:
        self.network, self.best_step = network.eval(), best_step

    @property
    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(p.numel() for p in self.network.parameters())

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n images.

        Args:
            n: how many.
            generator: of all draws.

        Returns:
            (n, 1, 8, 8) uint8, grey levels 0..16.
        """

    def bits_per_dimension(self, images: Tensor) -> dict[str, float]:
        """How likely the model finds images, as a mean over them.

        Args:
            images: (N, 1, 8, 8) uint8, grey levels 0..16.

        Returns:
            Kind to bits per dimension, the loosest first: "exact"; "bound", on which the exact value is at
            most; "importance-weighted bound", likewise and tighter. Empty for a model without a likelihood.
        """
        return {}


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """All that a run depends on, beside its seed and its number of steps.

    Args:
        full_steps: of training, that take 60 CPU-seconds on one idle core.
        quarter_steps: likewise, 15 CPU-seconds.
    """

    full_steps: int
    quarter_steps: int

    def budget(self, name: str) -> int:
        """The steps of a budget.

        Args:
            name: "full" or "quarter".

        Raises:
            ValueError: on another name.
        """
        if name not in BUDGETS:
            raise ValueError(f"a budget is one of {', '.join(BUDGETS)}, got {name!r}")
        return self.full_steps if name == "full" else self.quarter_steps

    @abstractmethod
    def train(
        self,
        seed: int,
        steps: int | None = None,
        *,
        images: Tensor | None = None,
        valid: Tensor | None = None,
        progress: bool = False,
    ) -> Model:
        """Train a model; the learning rate falls over exactly these steps.

        Args:
            seed: of the first weights, the batches and all noise.
            steps: how many; those of the full budget where None.
            images: (N, 1, 8, 8) uint8 to train on; the digits' training split where None.
            valid: (N, 1, 8, 8) uint8 by which the best weights are chosen, by those families that choose; the
                digits' validation split where None.
            progress: show a bar.

        Returns:
            The model.
        """


def fingerprint(recipe: DataclassInstance) -> str:
    """Tell recipes apart: 12 hexadecimal digits that change with any field.

    Args:
        recipe: of any family.

    Returns:
        The digits; what the code of `train` does with the fields is not in them.
    """
    text = json.dumps({"class": type(recipe).__name__, **asdict(recipe)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
