"""Pages that the printed book has in the place of the site's."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

from course import title_of
from generators.interfaces import public_paths, read_modules

from coursekit.authoring.equations import IndexEntry, equation_index

EQUATIONS = "reference/equations.md"
SIGNS = {"\\": r"\textbackslash{}"} | {sign: f"\\{sign}" for sign in "_&%#${}"}


def pages(root: Path, chosen: list[str]) -> dict[str, str]:
    """The pages by their place in the source tree; what belongs to chapters that are left out is left out.

    Args:
        root: of the repository.
        chosen: names of the chapters in the book, such as 02_vae.
    """
    index = [entry for entry in equation_index(root) if entry.equation.chapter in chosen]
    return {EQUATIONS: equations(index, public_paths(read_modules(root / "lib")))}


def equations(index: list[IndexEntry], paths: Mapping[str, str]) -> str:
    """Where each numbered equation stands, what implements it and what tests it.

    Args:
        index: the equations in reading order.
        paths: from the function names of the index to those by which one imports them.
    """
    out = [
        "(equation-index)=\n# Equations\n",
        f"The {len(index)} numbered equations of this book, with the function of *dgm* that implements each "
        "and the tests, in `tests/equations/`, that compare it with something independent. The site says "
        "how the tests ended in their last run.\n",
    ]
    for chapter, entries in groupby(index, key=lambda entry: entry.equation.chapter):
        out += [f"## {int(chapter[:2])} {title_of(chapter)}\n", "```{raw} latex", r"\begin{courseequations}"]
        out += [row(entry, paths) for entry in entries]
        out += [r"\end{courseequations}", "```\n"]
    return "\n".join(out)


def row(entry: IndexEntry, paths: Mapping[str, str]) -> str:
    """One equation for LaTeX: its anchor, its label, its functions, its tests without their folder."""
    equation = entry.equation
    gap = r"\quad "
    functions = gap.join(code(paths.get(name, name)) for name in entry.functions)
    tests = gap.join(code(test.removeprefix("tests/equations/")) for test in entry.tests)
    anchor = f"equation:chapters/{equation.chapter}:{equation.label}"
    return rf"\courseequation{{{anchor}}}{{{code(equation.label)}}}{{{functions}}}{{{tests}}}"


def code(text: str) -> str:
    """As inline code for LaTeX, which may break it."""
    return rf"\sphinxcode{{\sphinxupquote{{{''.join(SIGNS.get(sign, sign) for sign in text)}}}}}"
