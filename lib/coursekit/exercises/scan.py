"""Does an answer call what it must not call? Read from its source, and from the names it looks up.

This is a courtesy to the honest student, who may not know that the library's function is not an answer. It is
no defence against one who hides the call; a grader's sandbox can leave the library out.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any

ALWAYS = ("dgm", "coursekit")


def forbidden_in(source: str, forbidden: Sequence[str] = ALWAYS, *, context: str = "") -> list[str]:
    """Forbidden dotted names that a source uses, sorted.

    Args:
        source: of the answer cell.
        forbidden: dotted names ("dgm", "torch.distributions"); whatever lies below them is forbidden too.
        context: source of the other cells; only what it imports, and under which name, counts.
    """
    aliases = _aliases(_parse(context))
    tree = _parse(source)
    own = _aliases(tree)
    found = {target for target in own.values() if _below(target, forbidden)}
    for node in ast.walk(tree):
        dotted = _dotted(node, aliases | own)
        if dotted and _below(dotted, forbidden):
            found.add(dotted)
        if isinstance(node, ast.Call) and _callee(node) in ("import_module", "__import__"):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            found |= {name for name in names if isinstance(name, str) and _below(name, forbidden)}
    return sorted(name for name in found if not any(other.startswith(name + ".") for other in found))


def forbidden_in_answer(
    answer: Any, namespace: Mapping[str, Any], forbidden: Sequence[str] = ALWAYS
) -> list[str]:
    """Like `forbidden_in` for a live function: its source, the names it looks up, its helpers."""
    found: set[str] = set()
    _follow(answer, namespace, tuple(forbidden), found, set())
    return sorted(found)


def _follow(
    answer: Any, namespace: Mapping[str, Any], forbidden: tuple[str, ...], found: set[str], seen: set[int]
) -> None:
    if id(answer) in seen:
        return
    seen.add(id(answer))
    home = getattr(answer, "__module__", None)
    if isinstance(home, str) and _below(home, forbidden):
        found.add(f"{home}.{getattr(answer, '__qualname__', type(answer).__name__)}")
        return
    code = getattr(inspect.unwrap(answer) if callable(answer) else answer, "__code__", None)
    if code is None:
        return
    imports = "\n".join(
        f"import {value.__name__} as {name}"
        for name, value in namespace.items()
        if isinstance(value, ModuleType)
    )
    try:
        source = textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError):
        source = ""
    found.update(forbidden_in(source, forbidden, context=imports))
    for name in _names(code):
        value = namespace.get(name)
        if isinstance(value, ModuleType):
            if _below(value.__name__, forbidden):
                found.add(value.__name__)
        elif value is not None and (callable(value) or hasattr(value, "__module__")):
            _follow(value, namespace, forbidden, found, seen)


def _names(code: CodeType) -> set[str]:
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*(_names(const) for const in inner))


def _parse(source: str) -> ast.AST:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # an IPython magic, or half a cell: nothing to see
        return ast.Module(body=[], type_ignores=[])


def _aliases(tree: ast.AST) -> dict[str, str]:
    """Local name -> dotted name of what was imported under it."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return aliases


def _dotted(node: ast.AST, aliases: Mapping[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return aliases.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, aliases)
        return f"{base}.{node.attr}" if base else None
    return None


def _callee(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _below(name: str, forbidden: Sequence[str]) -> bool:
    return any(name == top or name.startswith(top + ".") for top in forbidden)
