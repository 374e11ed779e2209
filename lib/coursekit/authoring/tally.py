"""What a notebook's kernel spent: optimiser steps, trained parameters, memory; counted inside the kernel.

`coursekit.authoring.run` starts a kernel with `START` and names a file in the environment variable DGM_TALLY;
the kernel writes its counts there after every cell. Every optimiser of torch is counted, however it is
called: by `dgm.train.fit` or by a loop in a cell.
"""

import json
import os
import resource
import sys
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VARIABLE = "DGM_TALLY"
START = "__import__('coursekit.authoring.tally', fromlist=['start']).start()"


@dataclass
class Tally:
    """What has been counted so far.

    Args:
        steps: of all optimisers together; an L-BFGS step is one, whatever it evaluates.
        parameters: numbers trained, over all models of the notebook; one that two optimisers share counts
            twice.
        largest: parameters of the largest optimiser's.
        peak_mb: of the kernel's memory, in megabytes.
    """

    steps: int = 0
    parameters: int = 0
    largest: int = 0
    peak_mb: int = 0


_tally = Tally()
_seen: "weakref.WeakSet[Any]" = weakref.WeakSet()
_hook: Any = None


def begin() -> None:
    """Count from now on, from nothing."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    global _tally, _hook
    _tally = Tally()
    _seen.clear()
    if _hook is not None:  # two hooks would count every step twice
        _hook.remove()
    _hook = register_optimizer_step_post_hook(_after_step)


def _after_step(optimiser: Any, arguments: Any, keywords: Any) -> None:
    _tally.steps += 1
    if optimiser not in _seen:
        _seen.add(optimiser)
        numbers = sum(p.numel() for group in optimiser.param_groups for p in group["params"])
        _tally.parameters += numbers
        _tally.largest = max(_tally.largest, numbers)


def total() -> Tally:
    """The counts so far, with the memory's peak."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _tally.peak_mb = round(peak / (1_000_000 if sys.platform == "darwin" else 1_000))
    return _tally


def start() -> None:
    """In a kernel: count from now on, and write the counts to $DGM_TALLY after every cell."""
    from IPython import get_ipython

    path = Path(os.environ[VARIABLE])
    begin()
    get_ipython().events.register(
        "post_run_cell", lambda result: path.write_text(json.dumps(asdict(total())))
    )


def read(path: Path) -> Tally:
    """The counts that a kernel has written."""
    return Tally(**json.loads(path.read_text()))
