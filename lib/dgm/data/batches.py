"""An endless stream of minibatches from tensors in memory, which can be saved and resumed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from dgm.data.images import ImageSet
from dgm.tensor import draw_device

__all__ = ["Batches"]


class Batches:
    """Deal random minibatches for ever: a fresh permutation per epoch, the incomplete last batch dropped.

    Iterating yields tuples with one tensor per tensor given, or bare tensors when one was given. Examples are
    indexed by a permutation in memory: for data of this size no worker processes are needed.

    `state_dict()` says where in the epoch the stream is; after `load_state_dict` it goes on with exactly the
    batches that would have come next.

    Args:
        tensors: one or more of shape (N, ...), which are kept, not copied.
        batch_size: at most N.
        generator: draws the permutations; torch's global generator when None.
    Raises:
        TypeError: something that is no tensor.
        ValueError: no tensor, unequal lengths, or a batch size outside 1 .. N.
    """

    def __init__(self, *tensors: Tensor, batch_size: int, generator: torch.Generator | None = None) -> None:
        if not tensors:
            raise ValueError("Batches needs at least one tensor of shape (N, ...), got none")
        for tensor in tensors:
            if not isinstance(tensor, Tensor) or tensor.ndim == 0:
                raise TypeError(f"Batches needs tensors of shape (N, ...), got {_what_came(tensor)}")
        lengths = [len(tensor) for tensor in tensors]
        if len(set(lengths)) > 1:
            raise ValueError(f"tensors must have the same length N, got {lengths}")
        if not 1 <= batch_size <= lengths[0]:
            raise ValueError(f"batch_size must lie in 1 .. N = {lengths[0]}, got {batch_size}")
        self.tensors = tensors
        self.batch_size = batch_size
        self.generator = generator
        self.epoch = 0  # epochs begun
        self._order = torch.empty(0, dtype=torch.int64)  # this epoch's permutation, (N,)
        self._position = 0  # examples of it that are dealt

    @property
    def per_epoch(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.tensors[0]) // self.batch_size

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Any:
        if self._position + self.batch_size > len(self._order):
            n = len(self.tensors[0])
            order = torch.randperm(n, generator=self.generator, device=draw_device(self.generator))
            self._order, self._position = order.to(self.tensors[0].device), 0
            self.epoch += 1
        index = self._order[self._position : self._position + self.batch_size]  # (batch_size,)
        self._position += self.batch_size
        batch = tuple(tensor[index] for tensor in self.tensors)
        return batch if len(batch) > 1 else batch[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the stream, the generator's state included."""
        return {
            "length": len(self.tensors[0]),
            "batch_size": self.batch_size,
            "epoch": self.epoch,
            "position": self._position,
            "order": self._order,
            "generator": None if self.generator is None else self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a place in the stream.

        Raises:
            ValueError: the state is of a stream of another length or batch size, or one of the two has a
                generator and the other has none.
        """
        here = {"length": len(self.tensors[0]), "batch_size": self.batch_size}
        for name, value in here.items():
            if state[name] != value:
                raise ValueError(
                    f"the state is of batches with {name} {state[name]}, these have {value}; "
                    "build Batches from the same data with the same batch size"
                )
        if (state["generator"] is None) != (self.generator is None):
            raise ValueError(
                "the state and these batches must both have a generator, or neither; pass generator="
            )
        if self.generator is not None:
            self.generator.set_state(state["generator"])
        self.epoch, self._position = state["epoch"], state["position"]
        self._order = state["order"].to(self.tensors[0].device)


def _what_came(value: object) -> str:
    if isinstance(value, Tensor):
        return "a 0-d tensor, which has no examples"
    if isinstance(value, ImageSet):
        return "an ImageSet; pass its tensors: Batches(images.x, images.y, ...)"
    if isinstance(value, np.ndarray):
        return "a numpy array; use torch.from_numpy"
    return f"a {type(value).__name__}; use torch.as_tensor"
