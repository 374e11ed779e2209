"""One training loop for all families.

`fit` sees only `step(batch) -> dict of scalars`: the caller's function does the forward pass, the backward
pass and the optimiser's step, so that a GAN, a flow and a diffusion model train by the same loop. The loop
adds what every run needs: progress, history, validation, early stopping, the best weights, and a checkpoint
from which an interrupted run goes on bit for bit.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from dgm.bar import Bar
from dgm.checkpoint import check_tree, load_tree, save_tree

__all__ = ["History", "Scalar", "fit"]

Scalar = float | Tensor
_OTHER_RUN = "Give another path, or delete the file to start anew; nothing was changed"


@dataclass
class History:
    """What a run returned, step by step; `history["loss"]` is the list of training losses.

    Args:
        steps: the numbers of the steps, 1, 2, ...
        train: for each key that `step` returned, its value at each of `steps`.
        valid_steps: the steps after which `validate` was called.
        valid: for each key that `validate` returned, its value at each of `valid_steps`.
        best_step: the step after which the monitored validation value was lowest; None without validation.
    """

    steps: list[int] = field(default_factory=list)
    train: dict[str, list[float]] = field(default_factory=dict)
    valid_steps: list[int] = field(default_factory=list)
    valid: dict[str, list[float]] = field(default_factory=dict)
    best_step: int | None = None

    def __getitem__(self, key: str) -> list[float]:
        """Return the training values under `key`, one per entry of `steps`."""
        if key not in self.train:
            raise KeyError(f"step returned no {key!r}; it returned {', '.join(self.train) or 'nothing yet'}")
        return self.train[key]

    @property
    def validations_since_best(self) -> int:
        """Return how many validations came after the best one."""
        if self.best_step is None:
            return 0
        return len(self.valid_steps) - 1 - self.valid_steps.index(self.best_step)


def fit(
    step: Callable[[Any], Mapping[str, Scalar]],
    batches: Iterable[Any],
    *,
    steps: int,
    state: Mapping[str, Any] | None = None,
    validate: Callable[[], Mapping[str, Scalar]] | None = None,
    validate_every: int | None = None,
    patience: int | None = None,
    monitor: str = "loss",
    keep_best: Sequence[str] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    write: bool = True,
    progress: bool = True,
) -> History:
    """Call `step` on one batch after another, and look after everything around it.

    With `checkpoint` the run can be stopped at any time, even killed: call `fit` again with the same
    arguments and freshly built (or the very same) objects, and it goes on from the last checkpoint. Weights
    and history end bit-identical to those of a run that was never stopped, as long as all that changes from
    step to step is in `state`, in `batches` or in torch's global generators. With the checkpoint of a
    finished run `fit` returns at once. Two runs are told apart by the names, types and shapes in `state`: an
    edited `step`, other data of the same length or another learning rate is not noticed (the optimiser comes
    back with the old rate), so give a changed run another path.

    Args:
        step: does the forward pass, the backward pass and the optimiser's step on one batch; returns scalars
            (floats, or tensors of one element) under the same keys every time.
        batches: yields batches. What can be iterated again starts anew when it ends; a plain iterator must
            last. For a checkpoint it must have state_dict and load_state_dict, as `dgm.data.Batches` has.
        steps: how many steps the run has in all, a resumed run's earlier ones included.
        state: what changes in training, by name: anything with state_dict and load_state_dict (modules,
            optimisers, schedulers, EMA), or a torch.Generator. Saved in the checkpoint.
        validate: returns scalars on the validation split (never on the test split); it is called every
            `validate_every` steps and after the last one; it must itself set models to eval mode and back.
        validate_every: in steps; a twentieth of `steps` when None.
        patience: stop after so many validations in a row that brought no new best.
        monitor: the key of `validate`'s scalars that is to become small.
        keep_best: names in `state` that get their weights of the best validation back at the end, also when
            the run is interrupted or fails.
        checkpoint: the file to write to and, if it is there, to resume from; needs `state`.
        checkpoint_every: in steps; a twentieth of `steps` when None. The last step is always saved.
        write: False only reads the checkpoint: for those of several processes (`dgm.parallel`) that leave the
            writing to the first.
        progress: show a progress bar.
    Returns:
        The history of the whole run, the part before a resumption included.
    Raises:
        ValueError: arguments that do not fit together, batches that run out, keys that change, or a
            checkpoint of another run (the file is left as it is, and so are the objects in `state`).
        TypeError: `state` holds something that cannot be saved, or `step` returns no scalars.
        FloatingPointError: a scalar is NaN or infinite; names the step and the key. That step is not saved.
        KeyboardInterrupt: an interrupt waits for the end of the step, saves where there is a checkpoint,
            then is raised and names the step; a second one does not wait, and leaves the last checkpoint as
            it was.
    """
    state = dict(state or {})
    counts = {
        "steps": steps,
        "patience": patience,
        "validate_every": validate_every,
        "checkpoint_every": checkpoint_every,
    }
    _check_counts(counts)
    _check_arguments(state, batches, validate, patience, keep_best, checkpoint)
    validate_every = validate_every or max(1, steps // 20)
    checkpoint_every = checkpoint_every or max(1, steps // 20)
    history = History()
    best: dict[str, Any] = {}  # name -> state_dict after the best validation
    identity = _identity(state, batches, keep_best, monitor if validate is not None else None)
    path = None if checkpoint is None else Path(checkpoint)
    saved_at = 0

    def save(done: int) -> None:
        nonlocal saved_at
        if path is not None and write and saved_at != done:
            save_tree(path, _run_tree(identity, done, state, batches, history, best))
            saved_at = done

    if path is not None:
        # what cannot be saved shall be found before hours of training, not after them
        check_tree(_run_tree(identity, 0, state, batches, history, best))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            saved_at, history, best = _resume(path, identity, state, batches)
            if progress:
                print(f"resumed {path.name} at step {saved_at} of {steps}")

    def put_back_the_best() -> None:
        for name, weights in best.items():
            state[name].load_state_dict(weights)

    recorder = _Recorder(history)
    stream = _stream(batches)
    with (
        _Interrupts() as interrupts,
        Bar(steps, initial=saved_at, enabled=progress) as bar,
        contextlib.ExitStack() as at_the_end,
    ):
        at_the_end.callback(put_back_the_best)  # of a run that is stopped or fails as well
        done = saved_at
        while done < steps and not _is_over(history, patience):
            try:
                batch = next(stream)
            except StopIteration:
                raise ValueError(
                    f"batches ran out after {done} of {steps} steps; give an endless iterator such as "
                    "dgm.data.Batches, or something that can be iterated again, such as a list"
                ) from None
            scalars = step(batch)
            done += 1
            recorder.add(done, scalars)
            if validate is not None and (done % validate_every == 0 or done == steps):
                recorder.flush()
                if _record_validation(history, done, validate(), monitor):
                    best = {name: copy.deepcopy(state[name].state_dict()) for name in keep_best}
            if path is not None and (done % checkpoint_every == 0 or done == steps or interrupts.asked):
                recorder.flush()
                save(done)
            if interrupts.asked:
                where = "nothing saved: no checkpoint was given" if path is None else f"saved in {path}"
                raise KeyboardInterrupt(f"stopped after step {done}; {where}")
            if bar.due:
                bar.show(done, _summary(history))
        recorder.flush()
        save(done)
        bar.show(done, _summary(history))
    return history


# What a run records


class _Recorder:
    """Turn what `step` returns into the history, and refuse what is not finite.

    Reading one number from a GPU waits until the GPU is done. So scalars that lie there are kept as tensors
    and read many at a time.
    """

    read_every = 50

    def __init__(self, history: History) -> None:
        self.history = history
        self.pending: list[tuple[int, dict[str, Scalar]]] = []

    def add(self, done: int, scalars: Mapping[str, Scalar]) -> None:
        row = _scalars(scalars, "step")
        self.pending.append((done, row))
        elsewhere = any(isinstance(value, Tensor) for value in row.values())
        if not elsewhere or len(self.pending) >= self.read_every:
            self.flush()

    def flush(self) -> None:
        pending, self.pending = self.pending, []
        train = self.history.train
        if pending and not self.history.steps:
            train.update({key: [] for key in pending[0][1]})
        for (done, _), row in zip(pending, _floats([row for _, row in pending]), strict=True):
            if row.keys() != train.keys():
                raise ValueError(
                    f"step must return the same keys every time: {', '.join(train)} so far, "
                    f"{', '.join(row)} at step {done}; return 0.0 for what a step leaves out"
                )
            _check_finite(row, f"step {done}")
            self.history.steps.append(done)
            for key, value in row.items():
                train[key].append(value)


def _scalars(scalars: Mapping[str, Scalar], source: str) -> dict[str, Scalar]:
    """Check what `step` or `validate` returned; numbers on the CPU become floats, others stay tensors."""
    if not isinstance(scalars, Mapping) or not scalars:
        raise TypeError(
            f'{source} must return a dict of scalars such as {{"loss": loss}}, got {scalars!r:.80}'
        )
    row: dict[str, Scalar] = {}
    for key, value in scalars.items():
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError(
                    f"{source} must return scalars, got {key} of shape {tuple(value.shape)}; use {key}.mean()"
                )
            row[key] = value.item() if value.device.type == "cpu" else value.detach().clone().reshape(())
        else:
            row[key] = float(value)
    return row


def _floats(rows: list[dict[str, Scalar]]) -> list[dict[str, float]]:
    """Read all tensors among the rows from their device in one go."""
    tensors = [value for row in rows for value in row.values() if isinstance(value, Tensor)]
    values = iter(torch.stack([tensor.double() for tensor in tensors]).tolist() if tensors else [])
    return [
        {key: next(values) if isinstance(value, Tensor) else value for key, value in row.items()}
        for row in rows
    ]


def _check_finite(row: Mapping[str, float], where: str) -> None:
    for key, value in row.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{where} returned {key} = {value}; lower the learning rate, clip the gradients, "
                "or look for a log, a division or an exp out of range"
            )


def _record_validation(history: History, done: int, scalars: Mapping[str, Scalar], monitor: str) -> bool:
    """Append a validation to the history; say whether it is the best so far."""
    (row,) = _floats([_scalars(scalars, "validate")])
    if monitor not in row:
        raise ValueError(f"monitor must be one of validate's keys {', '.join(row)}, got {monitor!r}")
    if history.valid_steps and row.keys() != history.valid.keys():
        raise ValueError(
            f"validate must return the same keys every time: {', '.join(history.valid)} so far, "
            f"{', '.join(row)} after step {done}"
        )
    _check_finite(row, f"the validation after step {done}")
    is_best = all(row[monitor] < value for value in history.valid.get(monitor, []))
    history.valid_steps.append(done)
    for key, value in row.items():
        history.valid.setdefault(key, []).append(value)
    if is_best:
        history.best_step = done
    return is_best


def _is_over(history: History, patience: int | None) -> bool:
    return patience is not None and history.validations_since_best >= patience


def _summary(history: History) -> str:
    """Return the latest values in a few words, for the progress bar."""
    parts = [f"{key} {values[-1]:.4g}" for key, values in history.train.items() if values]
    parts += [f"valid {key} {values[-1]:.4g}" for key, values in history.valid.items()]
    return ", ".join(parts)


# What a run saves


def _run_tree(
    identity: dict[str, Any],
    done: int,
    state: Mapping[str, Any],
    batches: Any,
    history: History,
    best: dict[str, Any],
) -> dict[str, Any]:
    """Collect all that a run needs to go on from here."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    return {
        "identity": identity,
        "done": done,
        "state": {name: _state_of(item) for name, item in state.items()},
        "batches": _state_of(batches),
        "global generators": {
            "cpu": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        },
        "history": {
            "train": {key: column(values) for key, values in history.train.items()},
            "valid_steps": history.valid_steps,
            "valid": {key: column(values) for key, values in history.valid.items()},
            "best_step": history.best_step,
        },
        "best": best,
    }


def _resume(
    path: Path, identity: dict[str, Any], state: Mapping[str, Any], batches: Any
) -> tuple[int, History, dict[str, Any]]:
    """Load a checkpoint into `state`, `batches` and the global generators, or change nothing and say why."""
    try:
        tree = load_tree(path)
    except ValueError as error:
        raise ValueError(f"cannot resume: {error}") from error
    if not isinstance(tree, dict) or "identity" not in tree:
        raise ValueError(f"cannot resume: {path} holds no checkpoint of fit; give another path")
    difference = _difference(tree["identity"], identity)
    if difference:
        raise ValueError(
            f"cannot resume: {path} is the checkpoint of another run: {difference}. {_OTHER_RUN}"
        )
    targets: dict[tuple[str, ...], Any] = {("state", name): item for name, item in state.items()}
    targets["batches",] = batches
    before = {key: copy.deepcopy(_state_of(item)) for key, item in targets.items()}
    try:
        for key, item in targets.items():
            _set_state(item, tree["state"][key[1]] if key[0] == "state" else tree["batches"])
    except Exception as error:
        for other, item in targets.items():
            _set_state(item, before[other])
        reason = " ".join(str(error).split())  # torch's own message has many lines
        raise ValueError(
            f"cannot resume: {path} does not fit {' '.join(key)} ({reason}). {_OTHER_RUN}"
        ) from error
    generators = tree["global generators"]
    torch.set_rng_state(generators["cpu"])
    if generators["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(generators["cuda"][: torch.cuda.device_count()])
    saved = tree["history"]
    history = History(
        steps=list(range(1, tree["done"] + 1)),
        train={key: values.tolist() for key, values in saved["train"].items()},
        valid_steps=saved["valid_steps"],
        valid={key: values.tolist() for key, values in saved["valid"].items()},
        best_step=saved["best_step"],
    )
    return tree["done"], history, tree["best"]


def _state_of(item: Any) -> Any:
    return item.get_state() if isinstance(item, torch.Generator) else item.state_dict()


def _set_state(item: Any, saved: Any) -> None:
    if isinstance(item, torch.Generator):
        item.set_state(saved)
    else:
        item.load_state_dict(saved)


def _identity(
    state: Mapping[str, Any], batches: Any, keep_best: Sequence[str], monitor: str | None
) -> dict[str, Any]:
    """Say what makes two runs the same: the names, types and shapes of what is trained, and what is best."""
    return {
        "state": {name: _shapes(item) for name, item in state.items()},
        "batches": type(batches).__name__,
        "keep_best": sorted(keep_best),
        "monitor": monitor,
    }


def _shapes(item: Any) -> dict[str, str]:
    shapes = {"type": type(item).__name__}
    if isinstance(item, nn.Module):
        tensors = {name: value for name, value in item.state_dict().items() if isinstance(value, Tensor)}
    elif isinstance(item, torch.optim.Optimizer):
        # its state is empty before the first step, so compare the parameters that it steps
        tensors = {
            f"group {i}, parameter {j}": parameter
            for i, group in enumerate(item.param_groups)
            for j, parameter in enumerate(group["params"])
        }
    else:
        tensors = {}
    for name, tensor in tensors.items():
        shapes[name] = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
    return shapes


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Name the first difference between two identities, in words; empty when there is none."""
    for name in [*there["state"], *here["state"]]:
        if name not in here["state"] or name not in there["state"]:
            return (
                f"it has state {', '.join(there['state']) or 'of no name'}, "
                f"this run has {', '.join(here['state']) or 'none'}"
            )
    for name, shapes in there["state"].items():
        for key in [*shapes, *here["state"][name]]:
            old, new = shapes.get(key, "missing"), here["state"][name].get(key, "missing")
            if old != new:
                return f"state[{name!r}] has {key}: {old} there, {new} here"
    for key in ("batches", "keep_best", "monitor"):
        if there[key] != here[key]:
            return f"{key} is {there[key]!r} there, {here[key]!r} here"
    return ""


# What surrounds a run


def _check_counts(counts: Mapping[str, int | None]) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}")


def _check_arguments(
    state: Mapping[str, Any],
    batches: Any,
    validate: object,
    patience: int | None,
    keep_best: Sequence[str],
    checkpoint: object,
) -> None:
    if validate is None and (patience is not None or keep_best):
        raise ValueError("patience and keep_best need a validation; give validate=, on the validation split")
    for name, item in state.items():
        if not isinstance(item, torch.Generator) and not _has_state(item):
            raise TypeError(
                f"state[{name!r}] must have state_dict and load_state_dict or be a torch.Generator, "
                f"got a {type(item).__name__}"
            )
    for name in keep_best:
        if name not in state or isinstance(state[name], torch.Generator):
            raise ValueError(
                f"keep_best must name modules in state ({', '.join(state) or 'empty'}), got {name!r}; "
                f'add it: state={{"{name}": ...}}'
            )
    if checkpoint is not None and not _has_state(batches):
        raise ValueError(
            f"batches is a {type(batches).__name__} without state_dict and load_state_dict, so no run can be "
            "resumed; use dgm.data.Batches, or leave out checkpoint="
        )
    if checkpoint is not None and not state:
        raise ValueError(
            "checkpoint needs state, or no weights would be saved and a resumed run would go on from "
            'fresh ones; give all that a step changes, such as state={"model": model, "optimiser": optimiser}'
        )


def _has_state(item: Any) -> bool:
    return hasattr(item, "state_dict") and hasattr(item, "load_state_dict")


def _stream(batches: Iterable[Any]) -> Iterator[Any]:
    """Go through the batches again and again; an iterator, which can be gone through once only, just once."""
    while True:
        empty = True
        for batch in batches:
            empty = False
            yield batch
        if empty or iter(batches) is batches:
            return


class _Interrupts:
    """Make Ctrl-C wait until the end of the step: inside it, half of the weights may have been updated."""

    def __init__(self) -> None:
        self.wait = threading.current_thread() is threading.main_thread()
        self.asked = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def __enter__(self) -> _Interrupts:
        # Only where Ctrl-C means KeyboardInterrupt: a host with a handler of its own keeps it.
        self.wait = self.wait and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self.wait:
            signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.wait:
            signal.signal(signal.SIGINT, signal.default_int_handler)
