"""The mutants of a module: where its functions can be changed, one place at a time.

What is changed is code that runs when a function is called. Left alone are

- code that runs at import: constants and class bodies, and with them the defaults of dataclasses;
- defaults of arguments, decorators and annotations;
- texts: docstrings, messages, f-strings, functions that return a `str`;
- guards: a `raise`, an `if` that does nothing but raise, a statement that only calls `check_...`, and the
  functions `check_...` themselves. Tests of what is refused are no tests of formulas.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import CodeType
from typing import Any

from coursekit.authoring.mutation.operators import changes

_AUGMENTED: dict[type[ast.operator], ast.operator] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Div(),
    ast.Div: ast.Mult(),
}
_CLASS_CELL = ast.parse("if False:\n    __class__").body
_SKIPPED_FUNCTIONS = {"__repr__", "extra_repr", "__str__"}
_NOT_FORMULAS = (ast.stmt, ast.JoinedStr, ast.arguments)
_SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "type_params"}


@dataclass(frozen=True)
class Mutant:
    """One change of one statement.

    Args:
        module: dotted name.
        function: qualified name of the outermost function or method that is changed.
        operator: which kind of change.
        lines: first and last line of the statement (of its head, where it has a body).
        before: the statement, or its head, in the words of `ast.unparse`.
        after: what it becomes.
        key: tells the mutant apart by what it does, not by its place: a digest of the names and of the
            function before and after.
    """

    module: str
    function: str
    operator: str
    lines: tuple[int, int]
    before: str
    after: str
    key: str
    _place: tuple[Any, str, int | None, Any, Any] = field(repr=False, compare=False)
    _function: ast.FunctionDef = field(repr=False, compare=False)
    _tree: ast.Module = field(repr=False, compare=False)

    @contextmanager
    def _applied(self) -> Iterator[None]:
        holder, name, index, old, new = self._place
        body = self._function.body
        names = {node.id for node in ast.walk(self._function) if isinstance(node, ast.Name)}
        _put(holder, name, index, new)
        if names & {"super", "__class__"}:
            # Living code takes no code that has lost the cell of its class with its `super()`.
            self._function.body = [*body, *_CLASS_CELL]
        try:
            yield
        finally:
            _put(holder, name, index, old)
            self._function.body = body

    def codes(self, path: Path) -> dict[tuple[str, int], CodeType]:
        """The mutated module's code objects, by qualified name and first line."""
        with self._applied():
            whole = compile(self._tree, str(path), "exec", dont_inherit=True)
        return dict(_codes(whole))


def mutants(path: Path, module: str) -> list[Mutant]:
    """All mutants of a module, each once, in the order of its lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    found: dict[str, Mutant] = {}
    for name, function in _functions(tree, ""):
        whole = ast.unparse(function)
        for statement in _statements(function.body):
            before = _head(statement)
            for operator, place in _places(statement):
                holder, attribute, index, old, new = place
                _put(holder, attribute, index, new)
                text = ast.unparse(function)
                after = _head(statement)
                _put(holder, attribute, index, old)
                if text == whole:
                    continue
                key = sha256("\0".join((module, name, whole, text)).encode()).hexdigest()[:16]
                lines = _span(statement)
                found.setdefault(
                    key, Mutant(module, name, operator, lines, before, after, key, place, function, tree)
                )
    return list(found.values())


def _codes(code: CodeType) -> Iterator[tuple[tuple[str, int], CodeType]]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield (inner.co_qualname, inner.co_firstlineno), inner
            yield from _codes(inner)


def _put(holder: Any, name: str, index: int | None, value: Any) -> None:
    if index is None:
        setattr(holder, name, value)
    else:
        getattr(holder, name)[index] = value


def _functions(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions and methods with their qualified names; nested ones belong to the outer one."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            text = isinstance(child.returns, ast.Name) and child.returns.id == "str"
            if not (child.name in _SKIPPED_FUNCTIONS or _checks(child.name) or text):
                yield prefix + child.name, child
        else:
            yield from _functions(child, prefix)


def _checks(name: str) -> bool:
    return name.lstrip("_").startswith("check_")


def _is_guard(statement: ast.stmt) -> bool:
    match statement:
        case ast.Raise() | ast.Assert():
            return True
        case ast.If(body=body, orelse=[]):
            return all(isinstance(inner, ast.Raise) for inner in body)
        case ast.Expr(ast.Constant()):
            return True
        case ast.Expr(ast.Call(ast.Name(name) | ast.Attribute(attr=name))):
            return _checks(name)
    return False


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements that may be changed, those inside others too."""
    for statement in body:
        if _is_guard(statement):
            continue
        yield statement
        for child in _bodies(statement):
            yield from _statements(child)


def _bodies(statement: ast.AST) -> Iterator[list[ast.stmt]]:
    for _, value in ast.iter_fields(statement):
        if isinstance(value, list) and value:
            if isinstance(value[0], ast.stmt):
                yield value
            elif isinstance(value[0], ast.ExceptHandler | ast.match_case):
                for part in value:
                    yield from _bodies(part)


def _places(statement: ast.stmt) -> Iterator[tuple[str, tuple[Any, str, int | None, Any, ast.AST]]]:
    """(operator, place) of every change of a statement itself, without those inside it."""
    if isinstance(statement, ast.AugAssign) and type(statement.op) in _AUGMENTED:
        yield "arithmetic", (statement, "op", None, statement.op, _AUGMENTED[type(statement.op)])
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return
    stack: list[ast.AST] = [statement]
    while stack:
        holder = stack.pop()
        for name, value in ast.iter_fields(holder):
            if name in _SKIPPED_FIELDS:
                continue
            for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
                if not isinstance(child, ast.AST) or isinstance(child, _NOT_FORMULAS):
                    continue
                if isinstance(child, ast.keyword) and child.arg == "strict":
                    continue  # of zip: a guard
                for operator, new in changes(child):
                    new = ast.fix_missing_locations(ast.copy_location(new, child))
                    yield operator, (holder, name, index, child, new)
                stack.append(child)


def _head(statement: ast.stmt) -> str:
    return ast.unparse(statement).split("\n")[0] if _has_body(statement) else ast.unparse(statement)


def _has_body(statement: ast.stmt) -> bool:
    return any(True for _ in _bodies(statement))


def _span(statement: ast.stmt) -> tuple[int, int]:
    first, last = statement.lineno, statement.end_lineno or statement.lineno
    starts = [body[0].lineno for body in _bodies(statement)]
    return (first, max(first, min(starts) - 1)) if starts else (first, last)
