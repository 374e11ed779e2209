"""What a recipe of the full budget is, and what all families share in a run of one."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dgm.nn import EMA
from dgm.parallel import Shard, average_gradients, check_equal, mean_over
from dgm.recipes.base import Model

CHUNK = 500  # images that are sampled or rated at once


@dataclass
class Run:
    """What one training run has, beside its recipe: where it runs, and what all its processes draw.

    Args:
        seed: of the first weights, the batches and all noise.
        steps: of training, over which the rate falls.
        device: of the networks and the images.
        shard: which of how many processes this is.
        bf16: the networks' convolutions run in bfloat16; everything else is float32.
        rng: on the CPU and the same in every process: draws batches, and noise for whole batches.
    """

    seed: int
    steps: int
    device: torch.device
    shard: Shard
    bf16: bool
    rng: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = torch.Generator().manual_seed(self.seed)

    def normal(self, x: Tensor, *shape: int) -> Tensor:
        """This process's part of N(0, I) noise for the whole batch: (len(x), *shape)."""
        eps = torch.randn(len(x) * self.shard.world, *shape, generator=self.rng)
        return self.shard.take(eps).to(self.device)

    def uniform(self, x: Tensor, *shape: int) -> Tensor:
        """This process's part of noise on [0, 1) for the whole batch: (len(x), *shape)."""
        u = torch.rand(len(x) * self.shard.world, *shape, generator=self.rng)
        return self.shard.take(u).to(self.device)

    def own_seed(self) -> int:
        """A number for this step and this process alone: drawn for all, then moved on by the rank."""
        drawn = int(torch.randint(2**62, (), generator=self.rng))
        return drawn + self.shard.rank

    def mixed(self) -> AbstractContextManager[Any]:
        """The block in which networks run, in bfloat16 where the run has it; what follows it is float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)


class Learner:
    """AdamW, a rate that rises and falls, clipped gradients and averaged weights, for one network.

    The rate is min(1, (n + 1) / rise) (1 + cos(pi n / steps)) / 2 times the recipe's, after n steps.

    Args:
        network: to be trained, on its device, by a loss in nats per dimension or of that size.
        run: of which it is a part.
        recipe: with the rate and the decay of the averaged weights.
    """

    weight_decay = 1e-4
    clip = 1.0  # bound of the gradient's norm
    rise = 500  # steps in which the rate rises; at most a tenth of all

    def __init__(self, network: nn.Module, run: Run, recipe: FullRecipe) -> None:
        self.network, self.run = network, run
        self.averaged = EMA(network, recipe.ema)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=recipe.rate, weight_decay=self.weight_decay, fused=True
        )
        rise = max(1, min(self.rise, run.steps // 10))

        def factor(done: int) -> float:
            return min(1.0, (done + 1) / rise) * (1 + math.cos(math.pi * min(done / run.steps, 1.0))) / 2

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, factor)
        self._checked = False

    def descend(self, loss: Tensor) -> Tensor:
        """One step down the mean loss () of this process's part; returns the mean over all processes."""
        shard = self.run.shard
        if not self._checked:  # once, after what was resumed
            check_equal(self.network.parameters(), shard)
            self._checked = True
        self.optimiser.zero_grad()
        loss.backward()
        average_gradients(self.network.parameters(), shard)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimiser.step()
        self.schedule.step()
        self.averaged.update()
        return mean_over(loss, shard)

    def state(self) -> dict[str, Any]:
        """All that a step changes, by name."""
        return {
            "network": self.network,
            "averaged": self.averaged,
            "optimiser": self.optimiser,
            "schedule": self.schedule,
        }


def on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """A generator on a device, seeded by a draw of this one; this one itself where it is there."""
    if generator.device.type == device.type:
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=generator)))


class Clock:
    """Seconds of training over all of a run's parts: what `fit` saves and puts back."""

    def __init__(self) -> None:
        self.before, self.start = 0.0, time.perf_counter()

    @property
    def seconds(self) -> float:
        """So far."""
        return self.before + time.perf_counter() - self.start

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.before, self.start = state["seconds"], time.perf_counter()


@dataclass
class Parts:
    """What a recipe builds for `train_full`.

    Args:
        model: what samples and rates after training.
        step: one step of training on this process's part of a batch.
        state: all that a step changes, by name, but for the run's generator.
        keep_best: names in `state` that keep their best weights by the held-out loss; empty: the last ones.
        held_loss: mean loss () of held-out images on this process, where `keep_best` has names.
        finish: what is done after the last step.
    """

    model: Model
    step: Callable[[Tensor], dict[str, Tensor]]
    state: dict[str, Any]
    keep_best: Sequence[str] = ()
    held_loss: Callable[[Tensor], Tensor] | None = None
    finish: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class FullRecipe(ABC):
    """All that a run depends on, beside its seed and its images.

    Args:
        steps: of training.
        batch: images in a batch, of all processes together.
        rate: of the optimiser, at its highest.
        ema: decay of the averaged weights.
        bf16: whether this family's networks may run in bfloat16, as they do on a GPU.
        levels: grey levels of the images.
        shape: (C, H, W) of one image.
    """

    steps: int
    batch: int
    rate: float
    ema: float
    bf16: bool
    levels: int = 256
    shape: tuple[int, int, int] = (1, 28, 28)

    @property
    def dims(self) -> int:
        """D, entries of one image."""
        return torch.Size(self.shape).numel()

    @abstractmethod
    def build(self, x: Tensor, run: Run) -> Parts:
        """Fresh networks and the step that trains them, inside `dgm.nn.seeded`.

        Args:
            x: (N, *shape) uint8, the images to train on, on the run's device.
            run: which this will be.

        Returns:
            The parts.
        """
