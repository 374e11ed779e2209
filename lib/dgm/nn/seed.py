"""Reproducible construction of modules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators inside the block, and put them back as they were after it.

    PyTorch initialises parameters from global random state only. So

        with seeded(0):
            model = MLP([64, 256, 10])

    builds the same weights every time and leaves no trace in what is drawn afterwards.

    Args:
        seed: any whole number that torch.manual_seed takes.
    """
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        if gpus:
            torch.cuda.manual_seed_all(seed)
        yield
