"""What a mutant changes: one expression for another that a slip of the pen could have put in its place.

Signs, constants, comparisons, swapped arguments, a dropped term, factor or call, another function of the
same shape (a sum for a mean, an exponential for a logarithm).

A swap that no test can see, whatever the code around it, is told apart (`SAME`): of the two numbers of which
`max` takes the larger, of the two axes that a tensor's `transpose` exchanges.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Div,
}
_BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
_OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_PAIRS = (
    ("sum", "mean"),
    ("max", "min"),
    ("amax", "amin"),
    ("argmax", "argmin"),
    ("exp", "log"),
    ("expm1", "log1p"),
    ("sin", "cos"),
    ("square", "sqrt"),
    ("cumsum", "cumprod"),
    ("floor", "ceil"),
    ("any", "all"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("new_zeros", "new_ones"),
    ("clamp_min", "clamp_max"),
    ("maximum", "minimum"),
    ("triu", "tril"),
)
_OTHER = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
# Methods whose result without them is still of a like kind.
_DROPPED = {
    "clamp",
    "clamp_min",
    "clamp_max",
    "flip",
    "roll",
    "tril",
    "triu",
    "masked_fill",
    "cumsum",
    "round",
}
# Modules whose functions of one argument may be dropped: torch.exp(x) -> x.
_MODULES = {"torch", "F", "math", "np"}
# What these change is the kind of a number or its place in memory, not the formula.
_KINDS = {
    "item",
    "tolist",
    "contiguous",
    "numpy",
    "cpu",
    "clone",
    "size",
    "dim",
    "numel",
    "tensor",
    "as_tensor",
}
_KINDS |= {"double", "float", "long", "int", "bool", "from_numpy", "asarray", "array"}
# Functions of two arguments whose order does not matter. (Of two that are equal max returns the first, and of
# a number and a nan as well: no formula here rests on that.)
_SYMMETRIC = {"maximum", "minimum", "logaddexp", "hypot"}
# Methods of a tensor of which the same is true. (The transpose of an array of numpy takes all its axes.)
_SYMMETRIC_METHODS = {"transpose", "swapaxes", "swapdims"}
SAME = "order that does not matter"
_TOLERANCE = 1e-3  # twice a number below it is as good a tolerance as it was


def changes(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Every (operator, new expression) for one node of a syntax tree."""
    match node:
        case ast.BinOp(left, op, right):
            if type(op) in _ARITHMETIC:
                yield "arithmetic", ast.BinOp(left, _ARITHMETIC[type(op)](), right)
            if isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.Div):
                yield "dropped term", left
                yield "dropped term", right
        case ast.UnaryOp(ast.USub(), operand):
            yield "sign", operand
        case ast.UnaryOp(ast.Not() | ast.Invert(), operand):
            yield "negation", operand
        case ast.BoolOp(logic, values):
            yield "logic", ast.BoolOp(ast.Or() if isinstance(logic, ast.And) else ast.And(), values)
        case ast.IfExp(test, body, orelse):
            yield "swapped branches", ast.IfExp(test, orelse, body)
        case ast.Compare(left, operators, rights):
            for table in (_BOUNDARY, _OPPOSITE):
                for i, relation in enumerate(operators):
                    if type(relation) in table:
                        others = [*operators[:i], table[type(relation)](), *operators[i + 1 :]]
                        yield "comparison", ast.Compare(left, others, rights)
        case ast.Constant(bool() as value):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield "constant", ast.Constant(value + 1)
            if abs(value) >= _TOLERANCE:
                yield "constant", ast.Constant(value * 2)
        case ast.Call(func, arguments, keywords):
            yield from _of_call(func, arguments, keywords)


def _of_call(
    func: ast.expr, arguments: list[ast.expr], keywords: list[ast.keyword]
) -> Iterator[tuple[str, ast.expr]]:
    starred = any(isinstance(argument, ast.Starred) for argument in arguments)
    if not starred:
        for i in range(len(arguments) - 1):
            swapped = [*arguments[:i], arguments[i + 1], arguments[i], *arguments[i + 2 :]]
            same = len(arguments) == 2 and not keywords and _is_symmetric(func)
            yield SAME if same else "swapped arguments", ast.Call(func, swapped, keywords)
    if not isinstance(func, ast.Attribute):
        return
    of_module = isinstance(func.value, ast.Name) and func.value.id in _MODULES
    if func.attr in _KINDS:
        return
    if of_module:
        if len(arguments) == 1 and not keywords and not starred:
            yield "dropped call", arguments[0]
    elif func.attr in _DROPPED or (not arguments and not keywords):
        yield "dropped call", func.value
    if func.attr in _OTHER:
        other = ast.Attribute(func.value, _OTHER[func.attr], ast.Load())
        yield "other function", ast.Call(other, arguments, keywords)


def _is_symmetric(func: ast.expr) -> bool:
    """Whether a function of two arguments is the same of them in either order."""
    match func:
        case ast.Name("max" | "min"):
            return True
        case ast.Attribute(ast.Name(owner), name) if owner in _MODULES:
            return name in _SYMMETRIC
        case ast.Attribute(_, name):
            return name in _SYMMETRIC_METHODS
    return False
