"""The reference of dgm in the book: every public name, its signature, and the sections of its docstring."""

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest
from generators.interfaces import (
    body_of,
    describe,
    markdown,
    public_paths,
    read_modules,
    reference,
    split_sections,
)

from coursekit.authoring.equations import docstring_lines, equations

ROOT = Path(__file__).resolve().parents[2]
LIB = ROOT / "lib"


@pytest.fixture(scope="module")
def modules():
    return read_modules(LIB)


@pytest.fixture(scope="module")
def made(modules):
    return reference(modules, {e.label for e in equations(ROOT)})


def described(pages):
    """The dotted names of all functions, classes and constants on the pages."""
    pattern = re.compile(r"^`+\{py:(?:function|class|data)\} (\w+).*\n:module: ([\w.]+)", re.M)
    return [f"{module}.{name}" for text in pages.values() for name, module in pattern.findall(text)]


def test_every_name_that_a_package_exports_is_described_or_linked(made):
    """What one can import decides, not what the syntax trees say."""
    names = set(described(made))
    linked = set(re.findall(r"\{py:obj\}`([\w.]+)`", "\n".join(made.values())))
    packages = [".".join(p.parent.relative_to(LIB).parts) for p in (LIB / "dgm").rglob("__init__.py")]
    for package in packages:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.ismodule(value):
                assert f"{value.__name__.removeprefix('dgm.')}.md" in made
            else:
                home = getattr(value, "__module__", package)
                assert f"{package}.{name}" in names or {f"{home}.{name}", f"{package}.{name}"} & linked, (
                    f"{package}.{name}"
                )


def test_every_public_definition_is_described_once(modules, made):
    names = described(made)
    assert sorted(set(names)) == sorted(names)
    assert len(names) == sum(len(m.entries) for m in modules) > 300


def test_signatures_are_those_of_the_code(made):
    """Parameter for parameter, as Python itself reads them."""
    found = re.findall(
        r"^`+\{py:function\} (\w+)(\(.*\)).*\n:module: ([\w.]+)", "\n".join(made.values()), re.M
    )
    assert len(found) > 150
    for name, signature, module in found:
        shown = ast.parse(f"def f{signature}: ...").body[0].args
        shown_names = [a.arg for a in [*shown.posonlyargs, *shown.args, *shown.kwonlyargs]]
        function = inspect.unwrap(getattr(importlib.import_module(module), name))
        kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        real = [p.name for p in inspect.signature(function).parameters.values() if p.kind not in kinds]
        assert shown_names == real, f"{module}.{name}"


def test_every_equation_and_test_that_a_docstring_names_is_on_the_pages(modules, made):
    text = "\n".join(made.values())
    paths = public_paths(modules)
    for name, reference_ in docstring_lines(ROOT, "Equation"):
        if paths.get(name):
            assert f"{{eq}}`{reference_.target}`" in text, name
    for name, reference_ in docstring_lines(ROOT, "Test"):
        if paths.get(name):
            assert f"`{reference_.target}`" in text, name


def test_an_unknown_label_is_no_link():
    assert "{eq}" not in body_of("A sum.\n\nEquation: gone", {}, set(), "dgm.vae")
    assert "{eq}`there`" in body_of("A sum.\n\nEquation: gone, there", {}, {"there"}, "dgm.vae")


def test_sections_are_found_with_their_continuation_lines():
    doc = textwrap.dedent(
        """\
        Sum of $a_i$.

        Args:
            a: (B,) numbers,
                at least one.
            b, c: (B,) more.

        Returns:
            () their sum.

        Source: Euler 1748,
            chapter 1.
        """
    )
    text, sections = split_sections(doc)
    assert text == "Sum of $a_i$."
    assert [title for title, _ in sections] == ["Args", "Returns", "Source"]
    body = body_of(doc, {}, set(), "dgm")
    assert "- **`a`**: (B,) numbers, at least one." in body
    assert "- **`b`, `c`**" in body or "- **`b`**, **`c`**: (B,) more." in body
    assert ":Source:\n    Euler 1748,\n    chapter 1." in body


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x (B, *shape) in [0, 1]", r"x (B, \*shape) in \[0, 1\]"),
        ("$a * b [c]$ and `d * e`", "$a * b [c]$ and `d * e`"),
        ("as in `elbo`, not `nothing`", "as in {py:obj}`elbo <dgm.vae.elbo>`, not `nothing`"),
        ("``dgm.vae.elbo`` too", "{py:obj}`dgm.vae.elbo <dgm.vae.elbo>` too"),
        ("bounds    two terms\ngan       a game", "- `bounds`: two terms\n- `gan`: a game"),
        ("- one\n- two", "- one\n- two"),
        ("Sum.\n\n$a +\nb$.\n\nBut $c$\nhere.", "Sum.\n\n$$ a + b. $$\n\nBut $c$\nhere."),
        ("at z **detached** and 2 * 3 ** 4", r"at z **detached** and 2 \* 3 \*\* 4"),
        ("taken *before* it, (B, *shape) to (*, C)", r"taken *before* it, (B, \*shape) to (\*, C)"),
        ("So\n\n    a = b * c[0]\n\nis.", "So\n\n```python\na = b * c[0]\n```\n\nis."),
        (
            "Of two\n    one     2 * s\n    other   3\nit.",
            "Of two\n\n```text\none     2 * s\nother   3\n```\n\nit.",
        ),
        (f"${'a + ' * 20}b$, so\nit is.", f"$$ {'a + ' * 20}b, $$\n\nso\nit is."),
        ("$a + b$, so\nit is.", "$a + b$, so\nit is."),
        ("(x, t) -> y, as `f -> g`", "(x, t) → y, as `f -> g`"),
        ("see `dgm.vae`", "see {py:obj}`dgm.vae <dgm.vae>`"),
    ],
    ids=[
        "signs",
        "verbatim",
        "link",
        "double",
        "columns",
        "list",
        "formula",
        "strong",
        "stressed",
        "listing",
        "table",
        "long",
        "short",
        "arrow",
        "module",
    ],
)
def test_docstring_text_becomes_markdown(text, shown):
    assert markdown(text, {name: name for name in ("dgm.vae", "dgm.vae.elbo")}, "dgm.vae") == shown


EXPORTS = '''"""Codes.

- `parts`: what there is
"""
from dgm.vae.parts import LEVELS, Net, Point, grow

__all__ = ["LEVELS", "Net", "Point", "grow"]
'''
PARTS = '''"""Parts."""
from dataclasses import dataclass

LEVELS: int = 17  # of grey
_hidden = 1


@dataclass(frozen=True)
class Point:
    """A point."""

    x: int
    y: int = 2

    @property
    def norm(self) -> float:
        """Its length."""

    @staticmethod
    def origin(x: int) -> "Point":
        """The origin."""


class Net(Point):
    """A net."""

    def __init__(self, width: int, *, deep: bool = False) -> None: ...
    def forward(self, x): ...
    def code(self, x: int) -> int:
        """The code."""


def grow(x: int, /, by: float = 1.5, *rest: int, **more: str) -> int:
    """Grow."""
'''


@pytest.fixture
def small(tmp_path):
    """A library of one package with everything that a page can hold."""
    files = {"__init__.py": '"""All."""\n', "vae/__init__.py": EXPORTS, "vae/parts.py": PARTS}
    for name, text in files.items():
        path = tmp_path / "dgm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "``````{py:function} grow(x: int, /, by: float=1.5, *rest: int, **more: str) -> int",
        ":canonical: dgm.vae.parts.grow",
        "```````{py:class} Point(x: int, y: int = 2)",
        "`````{py:property} norm",
        "`````{py:method} origin(x: int) -> 'Point'",
        ":staticmethod:",
        "```````{py:class} Net(width: int, *, deep: bool=False)",
        "Base: {py:obj}`Point <dgm.vae.Point>`.",
        "`````{py:method} code(x: int) -> int",
        "``````{py:data} LEVELS",
        ":value: 17",
        "Of grey.",
        "- {py:obj}`parts <dgm.vae.parts>`: what there is",
        ":no-index-entry:",
    ],
)
def test_every_kind_of_definition_has_its_directive(small, line):
    assert line in reference(read_modules(small), set())["vae.md"].splitlines()


def test_the_modules_stand_as_the_package_lists_them(tmp_path):
    doc = '"""Codes of zeta and alpha.\n\nzeta         the last\nbeta, alpha  the first\n"""\n'
    for name, text in (
        ("__init__", '"""All."""\n'),
        ("vae/__init__", doc),
        *[
            (f"vae/{part}", f'"""Of {part}."""\n\n\ndef f_{part}() -> None:\n    """Do."""\n')
            for part in ("alpha", "beta", "zeta")
        ],
    ):
        path = tmp_path / "dgm" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    page = reference(read_modules(tmp_path), set())["vae.md"]
    assert re.findall(r"^## (\w+)", page, re.M) == ["zeta", "beta", "alpha"]


def test_constants_that_no_package_exports_are_in_no_index(small):
    (small / "dgm" / "vae" / "extra.py").write_text('"""More."""\n\nINNER = 3\n')
    page = reference(read_modules(small), set())["vae.md"]
    found = dict(re.findall(r"\{py:data\} (\w+)\n((?:^:.*\n)*)", page, re.M))
    assert ":no-index-entry:\n:no-contents-entry:" in found["INNER"]
    assert "no-index" not in found["LEVELS"]


def test_what_is_private_or_says_nothing_is_left_out(small):
    page = reference(read_modules(small), set())["vae.md"]
    assert "_hidden" not in page
    assert "forward" not in page


def test_a_definition_outside_any_export_keeps_the_name_of_its_module(small):
    (small / "dgm" / "vae" / "extra.py").write_text(
        '"""More."""\n\n\ndef shrink() -> None:\n    """Shrink."""\n'
    )
    modules = read_modules(small)
    entry = next(e for m in modules for e in m.entries if e.name == "shrink")
    assert ":module: dgm.vae.extra" in describe(entry, {}, set())
    assert "## extra" in reference(modules, set())["vae.md"]
