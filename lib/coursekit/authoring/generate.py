"""Make the students' exercises from the solutions: `python -m coursekit.authoring.generate [--check]`.

`solutions/<slug>.py` (percent format) is the one source. The student's edition differs from it in two ways:

- a region between `# BEGIN SOLUTION` and `# END SOLUTION` becomes a stub that raises "... is not done yet",
  or the lines that follow a line `# STUB` in the region, without their `# `;
- a cell tagged `solution` (discussion, model answers in words) is left out.

`solutions/checks/<slug>/probes.py` and `visible.py` go along whole; `hidden.py` and `answers.py` never do.
The result depends on the sources alone, byte for byte.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from nbformat import NotebookNode

from coursekit.authoring import notebooks as nb
from coursekit.exercises.probe import NOT_DONE

BEGIN, STUB, END = "# BEGIN SOLUTION", "# STUB", "# END SOLUTION"
SOLUTION_TAG = "solution"
SHIPPED = ("probes.py", "visible.py")
MARK = "# Generated from solutions/ by `python -m coursekit.authoring.generate`; do not edit.\n"
_DEF = re.compile(r"^\s*(?:async\s+)?(?:def|class)\s+(\w+)")


def student_source(source: str) -> str:
    """One code cell's source with its solution regions replaced by stubs.

    Raises:
        ValueError: a region that is opened twice, never closed or never opened.
    """
    out: list[str] = []
    name, region, stub = "this task", None, None  # type: str, list[str] | None, list[str] | None
    for line in source.split("\n"):
        mark = line.strip()
        if (found := _DEF.match(line)) and region is None:
            name = found[1]
        if mark == BEGIN:
            if region is not None:
                raise ValueError(f"{BEGIN} inside a region of {name}: close the first one with {END}")
            region, stub, indent = [], None, line[: len(line) - len(line.lstrip())]
        elif mark == END:
            if region is None:
                raise ValueError(f"{END} without {BEGIN} after {name}")
            if stub is None:
                stub = [
                    f"{indent}# Your answer goes here, in place of the next line.",
                    f'{indent}raise NotImplementedError("{name} {NOT_DONE}")',
                ]
            out += stub
            region = None
        elif region is None:
            out.append(line)
        elif mark == STUB:
            stub = []
        elif stub is not None:
            if mark and not mark.startswith("#"):
                raise ValueError(f"after {STUB} every line is a comment; got {mark!r} in {name}")
            body = mark[1:].removeprefix(" ")
            stub.append(indent + body if body else "")
        else:
            region.append(line)
    if region is not None:
        raise ValueError(f"{BEGIN} in {name} is never closed: add {END}")
    return "\n".join(out)


def solution_lines(source: str) -> list[str]:
    """The lines of a cell that only the solution has, stripped."""
    kept = Counter(line.strip() for line in student_source(source).split("\n"))
    marks = (BEGIN, STUB, END)
    lines: list[str] = []
    inside = False
    for line in (raw.strip() for raw in source.split("\n")):
        inside = (inside or line == BEGIN) and line not in (END, STUB)
        if inside and line and line not in marks and not kept[line]:
            lines.append(line)
    return lines


def tagged(notebook: NotebookNode, tag: str) -> list[str]:
    """Sources of the code cells with a tag, in order."""
    return [c.source for c in notebook.cells if c.cell_type == "code" and tag in c.metadata.get("tags", [])]


def student_notebook(path: Path) -> NotebookNode:
    """The student's edition of `solutions/<slug>.py`, without outputs."""
    notebook = nb.read_py(path)
    notebook.cells = [c for c in notebook.cells if SOLUTION_TAG not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        cell.metadata.pop(nb.LAYOUT, None)  # of the solution's file
        if cell.cell_type == "code":
            cell.source = student_source(cell.source)
    return notebook


def generate(solutions: Path, slug: str) -> dict[str, str]:
    """Every file of one exercise: path below `exercises/` -> its text."""
    path = solutions / f"{slug}.py"
    header = nb.header_of(path.read_text(encoding="utf-8"))
    notebook = student_notebook(path)
    files = {
        f"{slug}.py": nb.py_text(notebook, header),
        f"{slug}.ipynb": nb.ipynb_text(nb.stored(notebook)),
    }
    for name in SHIPPED:
        files[f"checks/{slug}/{name}"] = MARK + (solutions / "checks" / slug / name).read_text(
            encoding="utf-8"
        )
    return files


def slugs(solutions: Path) -> list[str]:
    """The exercises there are: every numbered percent script in `solutions/`."""
    return sorted(path.stem for path in solutions.glob("[0-9][0-9]_*.py"))


def stale(solutions: Path, exercises: Path) -> list[str]:
    """Paths below `exercises/` that are missing, differ from what would be generated, or have no source."""
    wanted = {name: text for slug in slugs(solutions) for name, text in generate(solutions, slug).items()}
    wrong = [
        name
        for name, text in wanted.items()
        if not (exercises / name).is_file() or (exercises / name).read_text(encoding="utf-8") != text
    ]
    patterns = ("[0-9][0-9]_*.py", "[0-9][0-9]_*.ipynb", "checks/*/*.py")
    there = {
        path.relative_to(exercises).as_posix() for pattern in patterns for path in exercises.glob(pattern)
    }
    return sorted(wrong) + sorted(there - wanted.keys())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m coursekit.authoring.generate", description=__doc__)
    parser.add_argument("slugs", nargs="*", help="exercises to write (default: all)")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; list what is stale, exit 1 if any"
    )
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="folder with solutions/ and exercises/")
    options = parser.parse_args(arguments)
    solutions, exercises = options.root / "solutions", options.root / "exercises"
    known = slugs(solutions)
    if unknown := sorted(set(options.slugs) - set(known)):
        parser.error(f"no solutions/{unknown[0]}.py; there are {', '.join(known) or 'none'}")
    if options.check:
        names = stale(solutions, exercises)
        for name in names:
            print(f"stale: exercises/{name}")
        print("run `python -m coursekit.authoring.generate`" if names else "exercises are up to date")
        return bool(names)
    for slug in options.slugs or known:
        for name, text in generate(solutions, slug).items():
            path = exercises / name
            path.parent.mkdir(parents=True, exist_ok=True)
            nb.write_atomically(path, text)
    for name in stale(solutions, exercises):
        print(f"left as it is (no source, or not asked for): exercises/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
