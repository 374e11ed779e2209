"""What of a solution must never reach a student, and whether some text holds any of it.

It reads the sources by its own rules, not by `generate`'s parser, so that a mistake there cannot hide itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from coursekit.authoring import notebooks as nb
from coursekit.authoring.generate import END, SOLUTION_TAG, STUB, slugs, solution_lines

# `mu, logvar = posterior(seed)`: inputs of a probe, which everybody may read.
_INPUTS = re.compile(r"[\w, *]+ = \w+\(seed\)")
SHORTEST = 16  # characters: shorter lines mean nothing
FRAME = (":::{admonition} Discussion", ":class: dropdown", ":::")
MARKS = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN", "WRONG =", "Discussion")


def secret_lines(solutions: Path, slug: str) -> set[str]:
    """Lines of the solution regions, discussions, hidden checks and wrong answers that mean something."""
    cells = nb.read_py(solutions / f"{slug}.py").cells
    lines = {line for c in cells if c.cell_type == "code" for line in solution_lines(c.source)}
    discussions = [c.source for c in cells if SOLUTION_TAG in c.metadata.get("tags", [])]
    lines |= {line for text in discussions for line in text.split("\n") if line not in FRAME}
    for name in ("hidden.py", "answers.py"):
        source = (solutions / "checks" / slug / name).read_text(encoding="utf-8")
        # The answer's first line and its imports are given to everybody.
        lines |= {li.strip() for li in source.split("\n") if not li.startswith(("from ", "import ", "def "))}
    lines -= openly_given(solutions)
    return {line for line in lines if len(line) >= SHORTEST and not _INPUTS.fullmatch(line)}


@cache
def openly_given(solutions: Path) -> frozenset[str]:
    """Lines that some notebook hands out on purpose: code around the solution regions, and stubs.

    One notebook's hunt for a bug may hold a coupling that another one asks for; what is left over is what
    `generate` and the visible checks must keep back.
    """
    lines = {"super().__init__()"}  # says nothing of any answer
    for slug in slugs(solutions):
        for cell in nb.read_py(solutions / f"{slug}.py").cells:
            if cell.cell_type == "code" and SOLUTION_TAG not in cell.metadata.get("tags", []):
                outside = re.sub(r"# BEGIN SOLUTION.*?# END SOLUTION", "", cell.source, flags=re.DOTALL)
                lines |= {line.strip() for line in outside.split("\n")} | _given_lines(cell.source)
    return frozenset(lines)


def _given_lines(source: str) -> set[str]:
    """Lines of the code that a task starts from, as in the hunt for a bug: after STUB, as comments."""
    lines: set[str] = set()
    after = False
    for line in (raw.strip() for raw in source.split("\n")):
        after = (after or line == STUB) and line != END
        lines |= {line.removeprefix("#").strip()} if after else set()
    return lines


def leaks(solutions: Path, shipped: Iterable[str]) -> list[str]:
    """Lines of any solution, and words that only solutions hold, that occur among the lines of some texts."""
    secret = {line for slug in slugs(solutions) for line in secret_lines(solutions, slug)}
    lines = {line.strip() for text in shipped for line in text.split("\n")}
    found = secret & lines
    return sorted(found | {line for line in lines if any(mark in line for mark in MARKS)})
