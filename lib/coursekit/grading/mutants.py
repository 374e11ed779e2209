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
    """One change of a cell: which operator, the line before and after, and the cell as it then is."""

    operator: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """What tells mutants of a task apart: `before -> after`, in the words of `ast.unparse`."""
        return f"{self.before} -> {self.after}"


def mutants(source: str) -> list[Mutant]:
    """All mutants of an answer cell, each once.

    Args:
        source: of the solution's cell, with its `# BEGIN SOLUTION` and `# END SOLUTION`.
    """
    tree = ast.parse(source)
    lines = _solution_lines(source)
    found: dict[str, Mutant] = {}
    for i, node in enumerate(ast.walk(tree)):
        if getattr(node, "lineno", 0) not in lines:
            continue
        for operator, changed in _changes(node):
            other = copy.deepcopy(tree)
            _replace(other, i, changed)
            text = ast.unparse(ast.fix_missing_locations(other))
            if text != ast.unparse(tree):
                line = int(getattr(node, "lineno", 0))
                mutant = Mutant(operator, line, ast.unparse(node), ast.unparse(changed), text)
                found.setdefault(text, mutant)
    return list(found.values())


def sample(source: str, most: int, seed: int) -> list[Mutant]:
    """At most so many mutants, drawn without preference, in the order of their lines."""
    every = mutants(source)
    if len(every) <= most:
        return every
    return sorted(random.Random(seed).sample(every, most), key=lambda m: (m.line, m.name))


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
