"""Several processes that train one model together, each on its part of every batch.

    with processes() as (shard, device):
        x = shard.take(batch)  # the same batch in every process, of which each keeps a part
        loss_of(model, x, shard.take(noise)).mean().backward()
        average_gradients(model.parameters(), shard)
        optimiser.step()

Every process draws the same random numbers for the whole batch and takes its part of them. So the mean of the
parts' gradients is the gradient of the whole batch, all processes keep the same weights, and a run does not
depend on how many there are, rounding apart. `torchrun` starts them; without it there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Shard", "average_gradients", "check_equal", "mean_over", "meet", "processes"]

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_START = "start with `torchrun --nproc-per-node=2 -m ...`"


@dataclass(frozen=True)
class Shard:
    """Which of how many processes this one is.

    Args:
        rank: 0 .. world - 1.
        world: how many there are; 1 for a process on its own.

    Raises:
        ValueError: there is no such process.
    """

    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise ValueError(f"rank must lie in 0 .. world - 1 = {self.world - 1}, got {self.rank}")

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes files and shows the bar."""
        return self.rank == 0

    def part(self, batch: int) -> int:
        """How many examples of a batch each process has.

        Args:
            batch: B, of all processes together.

        Returns:
            B / world.

        Raises:
            ValueError: B does not divide into equal parts, and a mean of unequal ones would weigh wrongly.
        """
        if batch % self.world:
            raise ValueError(
                f"a batch of {batch} does not divide into {self.world} equal parts; give a multiple of "
                f"{self.world}, such as {(batch // self.world + 1) * self.world}"
            )
        return batch // self.world

    def take(self, x: Tensor) -> Tensor:
        """This process's rows of a tensor that is the same in every process.

        Args:
            x: (B, ...) of the whole batch.

        Returns:
            (B / world, ...), a view.

        Raises:
            ValueError: B does not divide into equal parts.
        """
        size = self.part(len(x))
        return x[self.rank * size : (self.rank + 1) * size]


@contextmanager
def processes(device: str | None = None, *, timeout_s: float = 600.0) -> Iterator[tuple[Shard, torch.device]]:
    """Join the processes that torchrun started, and leave them at the end of the block.

    They talk by NCCL on GPUs, one for each process of a machine, and by Gloo on CPUs. Without torchrun
    nothing is joined. When a process dies, torchrun ends the others; so does the timeout, where one waits for
    it.

    Args:
        device: "cuda" or "cpu", or a name such as "cuda:1" for a process on its own; "cuda" where there is
            one when None.
        timeout_s: how long a process waits for the others, in seconds.

    Yields:
        This process's `Shard`, and the device that it is to work on.

    Raises:
        RuntimeError: WORLD_SIZE or RANK is set without torchrun's other variables, or there are fewer GPUs
            than processes.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError(f"device {name!r} was asked for, but torch finds no GPU; use device='cpu'")
    shard = _shard()
    if shard.world == 1:
        yield shard, torch.device(name)
        return
    here = torch.device(name)
    if here.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise RuntimeError(
                f"this machine has {torch.cuda.device_count()} GPUs, but process {local} wants one of its "
                "own; start as many processes as there are GPUs, or use device='cpu'"
            )
        here = torch.device("cuda", local)
        torch.cuda.set_device(here)
    dist.init_process_group("nccl" if here.type == "cuda" else "gloo", timeout=timedelta(seconds=timeout_s))
    try:
        yield shard, here
    finally:
        dist.destroy_process_group()


def _shard() -> Shard:
    """What torchrun says in the environment."""
    if "WORLD_SIZE" not in os.environ and "RANK" not in os.environ:
        return Shard()
    missing = [name for name in _VARIABLES if name not in os.environ]
    if missing:
        there = [name for name in _VARIABLES if name in os.environ]
        raise RuntimeError(
            f"{' and '.join(there)} set, but not {', '.join(missing)}: {_START}, which sets them all, or "
            f"unset {' and '.join(there)} for a process on its own"
        )
    return Shard(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter], shard: Shard) -> None:
    r"""Replace every gradient by its mean over the processes, in place, before the optimiser's step.

    $g \leftarrow \tfrac1W \sum_{r=1}^{W} g_r$: with losses that are means over equal parts of a batch, the
    gradient of the whole batch's mean.

    Args:
        parameters: of the model, in the same order everywhere; those without a gradient are left out.
        shard: this process; nothing happens where it is the only one.
    """
    if shard.world == 1:
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_dtype.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_dtype.values():
        flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message, not hundreds
        dist.all_reduce(flat)
        parts = (flat / shard.world).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


@torch.no_grad()
def mean_over(value: Tensor, shard: Shard) -> Tensor:
    """The mean of a tensor over the processes.

    Args:
        value: any shape, the same shape in every process.
        shard: this process.

    Returns:
        The mean, without a graph; the tensor itself, detached, where there is one process.
    """
    if shard.world == 1:
        return value.detach()
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / shard.world


@torch.no_grad()
def check_equal(parameters: Iterable[Tensor], shard: Shard) -> None:
    """Raise unless every process holds the same weights.

    They differ where a process could not read the checkpoint that another one resumed from, or where one
    built its model from another seed.

    Args:
        parameters: of the model.
        shard: this process.

    Raises:
        RuntimeError: the sums of the weights differ, in every process.
    """
    if shard.world == 1:
        return
    tensors = list(parameters)
    total = torch.stack([tensor.double().sum() for tensor in tensors]).sum()
    ends = torch.stack([total, -total])
    dist.all_reduce(ends, op=dist.ReduceOp.MAX)  # the largest, and minus the smallest
    if not bool(ends[0] == -ends[1]):
        raise RuntimeError(
            "the processes hold different weights: give them one seed, and a checkpoint in a folder that all "
            "of them read"
        )


def meet(shard: Shard) -> None:
    """Wait until every process has come here.

    Args:
        shard: this process.
    """
    if shard.world > 1:
        dist.barrier()
