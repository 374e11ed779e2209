"""Answers that are wrong in one place, made at random from the right ones: does the grader notice?

A mutant is the solution of a task with one change: a sign, a constant, a comparison, two arguments swapped,
a term or a call dropped, a sum for a mean. A mutant that gets full marks is a hole in the checks, or it is
equivalent: it computes the same. Only what stands in a solution region is changed.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass

from coursekit.authoring.generate import BEGIN, END, STUB

_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div,
}
_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
_NAMES = {"sum": "mean", "mean": "sum", "max": "min", "min": "max", "exp": "log", "sin": "cos", "cos": "sin"}
_NAMES |= {"square": "sqrt", "sqrt": "square", "cumsum": "cumprod", "cumprod": "cumsum", "argmax": "argmin"}


@dataclass(frozen=True)
class Mutant:
    """One change of a cell.

    Args:
        operator: which kind of change.
        number: of the line that is changed, in the solution's cell.
        before: the expression that is changed.
        after: what stands in its place.
        source: the cell as it then is, in the words of `ast.unparse`.
        line: of that source, the changed one.
    """

    operator: str
    number: int
    before: str
    after: str
    source: str
    line: str

    @property
    def name(self) -> str:
        """`before -> after`."""
        return f"{self.before} -> {self.after}"


def mutants(source: str) -> list[Mutant]:
    """All mutants of an answer cell, each once.

    Args:
        source: of the solution's cell, with its `# BEGIN SOLUTION` and `# END SOLUTION`.
    """
    tree = ast.parse(source)
    lines, whole = _solution_lines(source), ast.unparse(tree)
    found: dict[str, Mutant] = {}
    for i, node in enumerate(ast.walk(tree)):
        if getattr(node, "lineno", 0) not in lines:
            continue
        for operator, changed in _changes(node):
            other = copy.deepcopy(tree)
            _replace(other, i, changed)
            text = ast.unparse(ast.fix_missing_locations(other))
            if text != whole:
                words = ast.unparse(node), ast.unparse(changed), text, _changed_line(whole, text)
                found.setdefault(text, Mutant(operator, int(getattr(node, "lineno", 0)), *words))
    return list(found.values())


def _changed_line(before: str, after: str) -> str:
    """The first line of `after` that is not that of `before`."""
    pairs = zip(before.split("\n"), after.split("\n"), strict=False)
    return next((new.strip() for old, new in pairs if old != new), "")


def sample(source: str, most: int, seed: int) -> list[Mutant]:
    """At most so many mutants (0: all), drawn without preference, in the order of their lines."""
    every = mutants(source)
    if not most or len(every) <= most:
        return every
    return sorted(random.Random(seed).sample(every, most), key=lambda m: (m.number, m.name))


def _solution_lines(source: str) -> set[int]:
    """Numbers of the lines between BEGIN and STUB or END."""
    inside, found = False, set()
    for number, line in enumerate((raw.strip() for raw in source.split("\n")), start=1):
        if line == BEGIN:
            inside = True
        elif line in (STUB, END):
            inside = False
        elif inside:
            found.add(number)
    return found


def _replace(tree: ast.AST, index: int, changed: ast.AST) -> None:
    """Put `changed` in place of node number `index` of the walk."""
    target = next(node for i, node in enumerate(ast.walk(tree)) if i == index)
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, name, changed)
                return
            if isinstance(value, list) and any(item is target for item in value):
                setattr(parent, name, [changed if item is target else item for item in value])
                return


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    match node:
        case ast.BinOp(left, op, right):
            if type(op) in _ARITHMETIC:
                yield "arithmetic", ast.BinOp(left, _ARITHMETIC[type(op)](), right)
            if isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.Div):
                yield "dropped term", left
                yield "dropped term", right
        case ast.UnaryOp(ast.USub(), operand):
            yield "sign", operand
        case ast.Compare(left, [op], [right]) if type(op) in _COMPARISON:
            yield "comparison", ast.Compare(left, [_COMPARISON[type(op)]()], [right])
        case ast.Constant(bool() as value):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", ast.Constant(value + 1)
            if value:
                yield "constant", ast.Constant(value * 2)
        case ast.Call(func, arguments, keywords):
            if len(arguments) == 2:
                yield "swapped arguments", ast.Call(func, arguments[::-1], keywords)
            if isinstance(func, ast.Attribute):
                if not arguments and not keywords:
                    yield "dropped call", func.value
                if func.attr in _NAMES:
                    other = ast.Attribute(func.value, _NAMES[func.attr], ast.Load())
                    yield "other function", ast.Call(other, arguments, keywords)
