"""The half of a check that never meets the student's code: it reads a probe's plain data and gives marks.

What it reads may be anything, down to forged nonsense, so the readers (`tensor`, `tensors`, `number`,
`table`) take nothing for granted: they return a clean value or raise `Trouble` with a sentence for the
student.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from coursekit.exercises.probe import Plain
from coursekit.exercises.task import Criterion, Mark

ODD = "The result of this check could not be read. Run the cell with your answer again, then check again."


class Trouble(Exception):
    """Why an answer cannot be judged, in words for the student."""

    judged = False


class Cut(Trouble):
    """No gradient flows at all: a verdict, where gradients are what is judged."""

    judged = True


class NotDone(Trouble):
    """The answer is still the stub."""


def judge(criteria: Sequence[Criterion], reply: Plain, seed: int) -> list[Mark]:
    """Marks for what `run_probe` returned at this seed, one per criterion, whatever the reply holds."""
    return [_mark(criterion, reply, seed) for criterion in criteria]


def _mark(criterion: Criterion, reply: Plain, seed: int) -> Mark:
    try:
        hint = criterion.judge(_data(reply), seed)
    except NotDone as trouble:
        return Mark(criterion.name, criterion.points, False, str(trouble), started=False)
    except Trouble as trouble:
        return Mark(criterion.name, criterion.points, False, str(trouble), judged=trouble.judged)
    except Exception:  # only data that no probe writes can get here
        return Mark(criterion.name, criterion.points, False, ODD, judged=False)
    return Mark(criterion.name, criterion.points, hint is None, hint or "")


def _data(reply: Any) -> Plain:
    if not isinstance(reply, dict):
        raise Trouble(ODD)
    if "missing" in reply:
        names = " and ".join(f"`{name}`" for name in reply["missing"])
        raise NotDone(f"There is no {names} yet. Run the cell that defines it, then check again.")
    if "failed" in reply:
        raise Trouble(f"Your answer could not be tried out: {reply['failed']}")
    if not isinstance(reply.get("data"), dict):
        raise Trouble(ODD)
    return reply["data"]


# --- readers --------------------------------------------------------------------------------------


def returned(data: Plain, key: str) -> Plain:
    """What a `call` or `gradient` of the probe returned, or Trouble: not done, raised, changed its input."""
    outcome = data.get(key)
    if not isinstance(outcome, dict):
        raise Trouble(ODD)
    name, kind = outcome.get("name", "your function"), outcome.get("kind")
    if kind == "not done":
        raise NotDone("Not done yet: write your answer in place of the line that says so, and run its cell.")
    if kind == "not callable":
        raise Trouble(f"The answer should be a function, but the name holds a {name}. Run its cell again?")
    if kind == "raised":
        at = f" Your line: `{outcome['line']}`" if outcome.get("line") else ""
        message = f"{outcome.get('type')}: {outcome.get('message')}".rstrip(": ")
        raise Trouble(f"`{name}` stopped with an error. {message}.{at}".replace("..", "."))
    if kind != "returned":
        raise Trouble(ODD)
    if outcome.get("changed"):
        names = " and ".join(f"`{arg}`" for arg in outcome["changed"])
        raise Trouble(
            f"`{name}` changes its argument {names} in place, and the caller's data with it. "
            "Avoid +=, -= and methods that end in _ on arguments; make a new tensor."
        )
    if outcome.get("flagged"):
        names = " and ".join(f"`{arg}`" for arg in outcome["flagged"])
        raise Trouble(
            f"`{name}` switches `requires_grad` of its argument {names}, which is the caller's tensor. Take "
            "the gradient at a tensor of your own: `x.detach().requires_grad_()`."
        )
    value = outcome.get("value")
    if not isinstance(value, dict):
        raise Trouble(ODD)
    if value.get("type") == "none":
        raise Trouble(f"`{name}` returns None. Is the `return` missing?")
    if value.get("type") == "no gradient":
        raise Cut(
            f"No gradient flows through what `{name}` returns, so nothing could be trained with it. "
            "Look for detach(), item(), no_grad() or torch.tensor(...) on the way."
        )
    return {**value, "name": name}


def tensor(
    data: Plain,
    key: str,
    shape: Sequence[int] | None,
    *,
    meaning: str = "",
    dtype: str | tuple[str, ...] | None = "float64",
    finite: bool = True,
) -> Tensor:
    """The tensor that a `call` returned, with this shape and dtype, float64; or Trouble.

    Args:
        data: what the probe wrote down.
        key: which call.
        shape: what it must be; None: any.
        meaning: of the shape, in words ("one number per image").
        dtype: what it must be (that of the inputs), or several that will do; None: any.
        finite: whether NaN and infinity are wrong.
    """
    return _tensor(returned(data, key), shape, meaning, dtype, finite)


def tensors(
    data: Plain,
    key: str,
    shapes: Sequence[Sequence[int]],
    *,
    meaning: str = "",
    dtype: str | tuple[str, ...] = "float64",
    finite: bool = True,
) -> list[Tensor]:
    """The tensors of a list that a `call` (or a `gradient`) returned; or Trouble."""
    value = returned(data, key)
    name = value["name"]
    items = value.get("items")
    if value.get("type") != "list" or not isinstance(items, list) or len(items) != len(shapes):
        got = f"{len(items)}" if isinstance(items, list) else _describe(value)
        raise Trouble(f"`{name}` should return {len(shapes)} tensors{_comma(meaning)}; got {got}.")
    return [
        _tensor({**item, "name": name}, shape, meaning, dtype, finite)
        for item, shape in zip(items, shapes, strict=True)
    ]


WHOLE, PARTLY, CUT, CONSTANT = "whole", "partly", "cut", "constant"


def passages(data: Plain, key: str, count: int) -> list[str]:
    """How the gradient passes to each tensor of a `slopes` of the probe; or Trouble, Cut if there is none.

    WHOLE: as the function's own values say, right or wrong; PARTLY: some of it; CUT: nothing of it;
    CONSTANT: there is none, because the values do not depend on that tensor.
    """
    value = returned(data, key)
    items = value.get("items")
    if value.get("type") != "list" or not isinstance(items, list) or len(items) != count:
        raise Trouble(f"`{value['name']}` should return a tensor; it returns {_describe(value)}.")
    return [_passage(*(_as_number({**v, "name": value["name"]}) for v in item["items"])) for item in items]


def _passage(slope: float, difference: float) -> str:
    if abs(difference) < 1e-6:
        return CONSTANT if abs(slope) < 1e-6 else PARTLY
    if close(slope, difference, rtol=1e-2, atol=1e-3):
        return WHOLE
    return CUT if abs(slope) < 1e-9 else PARTLY


def number(data: Plain, key: str) -> float:
    """The finite number that a `call` returned (a tensor with one value will do); or Trouble."""
    return _as_number(returned(data, key))


def numbers(data: Plain, key: str, count: int, *, meaning: str = "") -> list[float]:
    """The finite numbers of a tuple or list that a `call` returned; or Trouble."""
    value = returned(data, key)
    name, items = value["name"], value.get("items")
    if value.get("type") != "list" or not isinstance(items, list) or len(items) != count:
        raise Trouble(
            f"`{name}` should return {count} numbers{_comma(meaning)}; it returns {_describe(value)}."
        )
    return [_as_number({**item, "name": name}) for item in items]


def table(data: Plain, key: str, keys: Sequence[str]) -> dict[str, Plain]:
    """The dict that the student assigned (written down by `plain`), with exactly these keys; or Trouble."""
    value = data.get(key)
    if not isinstance(value, dict):
        raise Trouble(ODD)
    if value.get("type") == "none":
        raise NotDone(f"Not done yet: put your answer in place of None, and run the cell of `{key}`.")
    if value.get("type") != "table":
        raise Trouble(f"`{key}` should be a dict with the keys {', '.join(keys)}; it is {_describe(value)}.")
    items = value["items"]
    if sorted(items) != sorted(keys):
        raise Trouble(f"`{key}` should have the keys {', '.join(keys)}; it has {', '.join(items) or 'none'}.")
    for name, item in items.items():
        if item["type"] == "none":
            raise NotDone(f"Not done yet: `{key}` has no answer for {name}.")
    return items


def entry(items: Mapping[str, Plain], key: str) -> float:
    """The finite number under one key of a `table`; or Trouble."""
    return _as_number({**items[key], "name": key})


def _as_number(value: Plain) -> float:
    name = value["name"]
    if value.get("type") == "tensor" and value.get("shape") in ([], [1]):
        value = {"type": "number", "value": value["values"][0]}
    got = value.get("value")
    if value.get("type") != "number" or not isinstance(got, (int, float, str)):
        raise Trouble(f"`{name}` should be a number; it is {_describe(value)}.")
    if isinstance(got, str):
        raise Trouble(f"`{name}` is {got}; it should be a finite number.")
    return float(got)


def _tensor(
    value: Plain,
    shape: Sequence[int] | None,
    meaning: str,
    dtype: str | tuple[str, ...] | None,
    finite: bool,
) -> Tensor:
    name = value["name"]
    want = tuple(value.get("shape", ()) if shape is None else shape)
    allowed = (dtype or str(value.get("dtype")),) if isinstance(dtype, str | None) else dtype
    if value.get("type") in ("huge", "odd tensor") or (
        value.get("type") == "tensor" and tuple(value["shape"]) != want
    ):
        got = tuple(value["shape"])
        if value.get("type") == "odd tensor":
            raise Trouble(
                f"`{name}` returns a {value['dtype']} tensor of an unusual kind; expected {allowed[0]}."
            )
        why = ""
        if want and not got:
            why = " It adds up or averages everything, the batch too."
        elif got == (*want, 1):
            why = " Without the last dimension: is there a keepdim too many?"
        raise Trouble(f"`{name}` should return shape {want}{_comma(meaning)}; it returns shape {got}.{why}")
    if value.get("type") != "tensor":
        raise Trouble(
            f"`{name}` should return a tensor of shape {want}{_comma(meaning)}; "
            f"it returns {_describe(value)}."
        )
    if value["dtype"] not in allowed:
        raise Trouble(
            f"`{name}` returns {value['dtype']} where {allowed[0]} is expected. Keep the inputs' dtype: "
            "no .float(), .double() or .long(), and make new tensors like an input (torch.zeros_like, ...)."
        )
    result = torch.tensor([float(v) for v in value["values"]], dtype=torch.float64)
    if result.numel() != torch.Size(want).numel():
        raise Trouble(ODD)
    if finite and not bool(result.isfinite().all()):
        word = "NaN" if bool(result.isnan().any()) else "infinity"
        raise Trouble(
            f"`{name}` returns {word} where every value should be finite. Print each step to see where."
        )
    return result.reshape(want)


def _describe(value: Plain) -> str:
    words = {
        "flag": "True or False",
        "none": "None",
        "list": "a list",
        "table": "a dict",
        "number": "a number",
    }
    kind = value.get("type")
    if kind == "other":
        return f"a {value.get('class')}"
    if kind == "text":
        return "a string"
    if kind == "tensor":
        return f"a tensor of shape {tuple(value['shape'])}"
    return words.get(str(kind), "something else")


def _comma(meaning: str) -> str:
    return f" ({meaning})" if meaning else ""


# --- comparison -----------------------------------------------------------------------------------


def close(a: Tensor | float, b: Tensor | float, *, rtol: float = 1e-6, atol: float = 1e-8) -> bool:
    """Equal within rounding, in float64; NaN equals nothing, infinity equals itself."""
    a, b = torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64)
    return a.shape == b.shape and torch.allclose(a, b, rtol=rtol, atol=atol)


def explain(
    got: Tensor | float,
    right: Tensor | float,
    wrong: Mapping[str, Tensor | float],
    otherwise: str,
    *,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    given: Tensor | float | None = None,
) -> str | None:
    """None where `got` is right; else the hint of the first known mistake that gives `got`.

    What misses by a few per cent only, as an estimate does, is told that too.

    Args:
        got: the student's value.
        right: what it should be.
        wrong: hint -> the value that this mistake gives.
        otherwise: the hint for a mistake that is not listed.
        rtol: relative tolerance.
        atol: absolute tolerance.
        given: what the code returns that the student was given, in a task that starts from such code.

    Raises:
        NotDone: the answer still returns what the given code returns.
    """
    if close(got, right, rtol=rtol, atol=atol):
        return None
    if given is not None:
        not_given(got, given)
    for hint, value in wrong.items():
        if close(got, value, rtol=rtol, atol=atol):
            return hint
    return f"{otherwise} {ESTIMATE}" if _near(got, right) else otherwise


ESTIMATE = (
    "It comes within a few per cent, though. If it is an estimate from random draws or coarse steps: the "
    "task asks for the exact value."
)


def _near(got: Tensor | float, right: Tensor | float) -> bool:
    got, right = (torch.as_tensor(t, dtype=torch.float64) for t in (got, right))
    return got.shape == right.shape and bool((got - right).norm() <= 0.06 * right.norm())


def not_given(got: Tensor | float, given: Tensor | float) -> None:
    """Raise NotDone where an answer returns what the code returns that the student was given."""
    if close(got, given):
        raise NotDone("Not done yet: this still returns what the code that you were given returns.")
