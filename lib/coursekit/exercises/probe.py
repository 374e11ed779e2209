"""The half of a check that runs beside the student's code.

A probe calls the student's functions on seeded inputs and writes down what happened as plain data: dicts,
lists, strings, numbers. It knows no right answer, so nothing is lost when a student reads it, and what it
returns can cross to another process as JSON. This module imports nothing of the judge.
"""

from __future__ import annotations

import inspect
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Plain = dict[str, Any]

MAX_VALUES = 20_000  # of one tensor; more is written down as "huge" with its shape only
MAX_TEXT = 500  # characters of a string or of an error message
MAX_DEPTH = 4
NOT_DONE = "is not done yet"  # the stub raises NotImplementedError("<name> is not done yet")


@dataclass(frozen=True)
class Probe:
    """The names a student defines and the function that tries them: `run(*answers, seed=seed) -> dict`."""

    answers: tuple[str, ...]
    run: Callable[..., Plain]


def run_probe(probe: Probe, namespace: Mapping[str, Any], seed: int) -> Plain:
    """Try a student's answers on the inputs of one seed.

    Args:
        probe: what to try.
        namespace: where the student's names live.
        seed: of the inputs, and of torch's global generator while the probe runs (it is put back after).

    Returns:
        `{"data": ...}` with what the probe wrote down, `{"missing": [names]}` or `{"failed": message}`.
    """
    missing = [name for name in probe.answers if name not in namespace]
    if missing:
        return {"missing": missing}
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        try:
            return {"data": probe.run(*(namespace[name] for name in probe.answers), seed=seed)}
        except Exception as error:  # an answer so odd that even writing it down fails
            return {"failed": _text(f"{type(error).__name__}: {_words(error)}")}


def call(fn: Any, *args: Any, **kwargs: Any) -> Plain:
    """Call the student's `fn` and write down what happened; never raises.

    Returns:
        `{"kind": "returned", "value": plain(result), "changed": [names of arguments changed in place],
        "flagged": [names of those that now require gradients, or no longer do]}`, or `"raised"` with type,
        message and the student's line, or `"not done"`, or `"not callable"`; always with `"name"`.
    """
    return _attempt(fn, args, kwargs, plain)


def gradient(fn: Any, *args: Any, wrt: Sequence[Tensor], **kwargs: Any) -> Plain:
    """Like `call`, with the gradients of the result's sum towards the tensors `wrt` as a list for a value.

    A tensor that the result does not depend on gets zeros. The tensors must require gradients.
    """

    def grads(result: Any) -> Plain:
        if not isinstance(result, Tensor):
            return plain(result)
        if not result.requires_grad:
            return {"type": "no gradient"}
        found = torch.autograd.grad(result.sum(), list(wrt), allow_unused=True)
        return plain([torch.zeros_like(w) if g is None else g for g, w in zip(found, wrt, strict=True)])

    return _attempt(fn, args, kwargs, grads)


NUDGE = 1e-3  # large enough for a float32 answer, small enough for a slope


def slopes(fn: Any, arguments: Callable[..., tuple[Any, ...]], *at: Tensor) -> Plain:
    """How the sum of what `fn` returns changes along a fixed direction of each tensor in `at`, found twice.

    By autograd, and by calling `fn` on both sides: where the two disagree, the gradient is cut on its way,
    whatever the value is. Every call starts from the same random state.

    Args:
        fn: the student's function.
        arguments: makes its arguments from tensors like `at`.
        at: where; float64.

    Returns:
        As `call`, with the list of pairs [by autograd, by difference] for a value.
    """
    directions = [(1.5 + (torch.arange(t.numel()) * 1.7).sin()).reshape(t.shape).to(t) for t in at]

    def tried(*points: Tensor) -> Any:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return fn(*arguments(*points))

    def both(*points: Tensor) -> Any:
        result = tried(*points)
        if not isinstance(result, Tensor) or not result.requires_grad:
            return result
        found = torch.autograd.grad(result.sum(), list(points), allow_unused=True)
        pairs = []
        for i, (grad, direction) in enumerate(zip(found, directions, strict=True)):
            up, down = (
                tried(*(t.detach() + s * direction if j == i else t.detach() for j, t in enumerate(points)))
                for s in (NUDGE, -NUDGE)
            )
            slope = 0.0 if grad is None else float((grad * direction).sum())
            pairs.append([slope, float((up - down).detach().sum()) / (2 * NUDGE)])
        return pairs

    def read(result: Any) -> Plain:
        return {"type": "no gradient"} if isinstance(result, Tensor) else plain(result)

    if not callable(fn):
        return call(fn)
    both.__name__ = str(getattr(fn, "__name__", type(fn).__name__))
    return _attempt(both, tuple(t.detach().clone().requires_grad_() for t in at), {}, read, blame=fn)


def plain(value: Any, depth: int = 0) -> Plain:
    """Any value as tagged plain data: `{"type": "tensor", "dtype", "shape", "values"}`, `"number"`, `"text"`,
    `"flag"`, `"none"`, `"list"`, `"table"`, or `"other"` with the name of its class."""
    if isinstance(value, Tensor):
        return _plain_tensor(value)
    if value is None or value is ...:
        return {"type": "none"}
    if isinstance(value, bool):
        return {"type": "flag", "value": bool(value)}
    if isinstance(value, (int, float)):
        return {"type": "number", "value": _number(value)}
    if isinstance(value, str):
        return {"type": "text", "value": _text(value)}
    if depth < MAX_DEPTH and isinstance(value, (list, tuple)) and len(value) <= MAX_VALUES:
        return {"type": "list", "items": [plain(item, depth + 1) for item in value]}
    if depth < MAX_DEPTH and isinstance(value, Mapping) and len(value) <= MAX_VALUES:
        return {"type": "table", "items": {_text(str(k)): plain(v, depth + 1) for k, v in value.items()}}
    if type(value).__module__ == "numpy" and hasattr(value, "dtype"):
        return {"type": "other", "class": f"numpy {type(value).__name__}"}
    return {"type": "other", "class": type(value).__name__}


def _attempt(
    fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], read: Callable[[Any], Plain], blame: Any = None
) -> Plain:
    name = _text(str(getattr(fn, "__name__", type(fn).__name__)))
    if fn is None or fn is ...:
        return {"kind": "not done", "name": name}
    if not callable(fn):
        return {"kind": "not callable", "name": name}
    tensors = _tensors(fn, args, kwargs)
    before = {key: (tensor.detach().clone(), tensor.requires_grad) for key, tensor in tensors.items()}
    try:
        value = read(fn(*args, **kwargs))
    except NotImplementedError as error:
        if NOT_DONE in _words(error):
            return {"kind": "not done", "name": name}
        return _raised(error, blame or fn, name)
    except (Exception, SystemExit) as error:
        return _raised(error, blame or fn, name)
    changed = [key for key, tensor in tensors.items() if not _same(tensor.detach(), before[key][0])]
    flagged = [key for key, tensor in tensors.items() if tensor.requires_grad != before[key][1]]
    return {"kind": "returned", "name": name, "value": value, "changed": changed, "flagged": flagged}


def _tensors(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Tensor]:
    try:
        named = dict(inspect.signature(fn).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        named = {f"argument {i + 1}": arg for i, arg in enumerate(args)} | kwargs
    return {key: arg for key, arg in named.items() if isinstance(arg, Tensor)}


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | ((a != a) & (b != b))).all())


def _raised(error: BaseException, fn: Any, name: str) -> Plain:
    """What was raised, and the last line of the student's own file that led there."""
    file = getattr(getattr(inspect.unwrap(fn), "__code__", None), "co_filename", None)
    lines = [frame.line for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    line = lines[-1] if lines else ""
    return {
        "kind": "raised",
        "name": name,
        "type": type(error).__name__,
        "message": _words(error),
        "line": _text(line or ""),
    }


def _plain_tensor(value: Tensor) -> Plain:
    value = value.detach()
    head = {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
    if value.numel() > MAX_VALUES:
        return {"type": "huge", **head}
    if value.is_complex() or value.layout != torch.strided or value.device.type == "meta":
        return {"type": "odd tensor", **head}
    return {"type": "tensor", **head, "values": [_number(v) for v in value.reshape(-1).tolist()]}


def _number(value: float | int | bool) -> float | int | str:
    """JSON has no NaN and no infinity: they travel as the words nan, inf, -inf."""
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else "inf"
    return float(value) if math.isfinite(value) else str(float(value))


def _words(error: BaseException) -> str:
    """What an error says; nothing where saying it fails."""
    try:
        return _text(str(error))
    except Exception:
        return ""


def _text(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
