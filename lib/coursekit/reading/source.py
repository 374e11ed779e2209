"""`show(fn)`: the library's own source, highlighted, never a copy."""

import ast
import html
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.display import display
from pygments.formatter import Formatter
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from coursekit.reading.figures import Displayed

# Two sets of colours, each with a contrast of at least 4.5 to 1 on its background (a test computes it).
# Keys are prefixes of Pygments' short class names: `k` covers `kn`, `kc`, ...
LIGHT = {
    "background": "#f6f8fa",
    "text": "#1f2328",
    "c": "#57606a",
    "k": "#a40e26",
    "s": "#0a3069",
    "m": "#0550ae",
    "nf": "#6639ba",
    "nc": "#6639ba",
    "nd": "#6639ba",
    "nb": "#0550ae",
    "ow": "#a40e26",
}
DARK = {
    "background": "#161b22",
    "text": "#e6edf3",
    "c": "#9aa4af",
    "k": "#ff7b72",
    "s": "#a5d6ff",
    "m": "#79c0ff",
    "nf": "#d2a8ff",
    "nc": "#d2a8ff",
    "nd": "#d2a8ff",
    "nb": "#79c0ff",
    "ow": "#ff7b72",
}
# JupyterLab marks a dark theme on its body, the site on its root element.
DARK_PAGES = ('[data-jp-theme-light="false"]', 'html[data-theme="dark"]')


def source_of(obj: Callable[..., Any] | type, *, doc: bool = False) -> str:
    """The source of a function or class, dedented, without docstrings unless `doc`.

    Args:
        obj: a function, method or class written in Python.
        doc: keep the docstrings.

    Returns:
        The source as it stands in its file.

    Raises:
        TypeError: there is no Python source (a value, or a function written in C).
    """
    obj = inspect.unwrap(obj) if callable(obj) else obj
    try:
        source = textwrap.dedent(inspect.getsource(obj))
    except (TypeError, OSError) as error:
        raise TypeError(
            f"show() needs a function or class written in Python, got {type(obj).__name__} {obj!r}"
        ) from error
    return source.rstrip() + "\n" if doc else _without_docstrings(source)


def show(obj: Callable[..., Any] | type, *, doc: bool = False) -> None:
    """Display the source of a function or class, as it stands in its file.

    Args:
        obj: a function, method or class written in Python.
        doc: show the docstrings too; by default only the code, which in a chapter is the equation.

    Raises:
        TypeError: there is no Python source (a value, or a function written in C).
    """
    source = source_of(obj, doc=doc)
    where = _where(obj)
    formatter: Formatter[str] = HtmlFormatter(nowrap=True)
    code = _highlight(source, formatter)
    data = {
        "text/html": (
            f'<div class="dgm-source">{_style()}\n<pre><code>{code}</code></pre>\n'
            f"<p><small>{html.escape(where)}</small></p>\n</div>"
        ),
        "text/plain": f"# {where}\n{source}",
    }
    display(Displayed(data, {}))


def _highlight(source: str, formatter: "Formatter[str]") -> str:
    from pygments import highlight

    return highlight(source, PythonLexer(), formatter).rstrip("\n")


def _where(obj: Any) -> str:
    """`dgm.vae.kl.f · dgm/vae/kl.py:12`; the path starts at the top package, the same on every machine."""
    obj = inspect.unwrap(obj)
    module = obj.__module__
    name = f"{module}.{obj.__qualname__}"
    _, line = inspect.getsourcelines(obj)
    if module == "__main__":
        return f"{obj.__qualname__} · this notebook"
    path = Path(inspect.getsourcefile(obj) or "")
    depth = module.count(".") + (2 if path.name == "__init__.py" else 1)
    return f"{name} · {'/'.join(path.parts[-depth:])}:{line}"


def _without_docstrings(source: str) -> str:
    """Cut the lines of every docstring, and the blank lines that followed it."""
    lines = source.splitlines()
    for node in reversed(list(ast.walk(ast.parse(source)))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        first = node.body[0]
        is_doc = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        # A body that is nothing but a docstring keeps it: without it the code would not parse.
        if not is_doc or not isinstance(first.value.value, str) or len(node.body) == 1:  # type: ignore[attr-defined]
            continue
        end = first.end_lineno or first.lineno
        lines[first.lineno - 1 : end] = [None] * (end - first.lineno + 1)  # type: ignore[list-item]
        while end < len(lines) and lines[end] is not None and not lines[end].strip():
            lines[end] = None  # type: ignore[call-overload]
            end += 1
    return "\n".join(line for line in lines if line is not None) + "\n"


def _style() -> str:
    """Stylesheet for light and dark pages; where it is stripped (untrusted notebook) the code is plain."""
    rules = [
        ".dgm-source pre{padding:.6em .8em;border-radius:4px;overflow-x:auto;line-height:1.4}",
        ".dgm-source p{margin:.2em 0 .6em}",
        *_rules(".dgm-source", LIGHT),
    ]
    for page in DARK_PAGES:
        rules += _rules(f"{page} .dgm-source", DARK)
    return f"<style>{''.join(rules)}</style>"


def _rules(scope: str, colours: dict[str, str]) -> list[str]:
    base = f"{scope} pre,{scope} pre code{{background:{colours['background']};color:{colours['text']}}}"
    tokens = [
        f"{scope} pre [class^={name}]{{color:{colour}}}"
        for name, colour in colours.items()
        if name not in ("background", "text")
    ]
    return [base, *tokens]
