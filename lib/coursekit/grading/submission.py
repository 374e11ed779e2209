"""Read what a student handed in: which exercise it is, and the sources of the answer cells.

Nothing is run here, and nothing of a submission is believed but the text of its answer cells: setup, checks
and probes come from the source. What cannot be read is a `problem` in words, never an error.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LARGEST = 100 << 20  # bytes of a file: a notebook may hold large outputs
LARGEST_SOURCE = 200_000  # characters of one cell
MOST_CELLS = 2_000
_EXERCISE = re.compile(r"""^\s*exercise\(\s*["']([0-9]{2}_\w+)["']""", re.MULTILINE)
_DEFINED = re.compile(r"^(?:async\s+def|def|class)\s+(\w+)|^(\w+)\s*(?::[^=\n]+)?=(?!=)", re.MULTILINE)
_HEADER = re.compile(r"^# %%(.*)$", re.MULTILINE)
_TAGS = re.compile(r"""tags\s*=\s*(\[[^\]]*\])""")


class Unreadable(Exception):
    """A file that is no notebook; the message is for the instructor and the student."""


@dataclass(frozen=True)
class Cell:
    """A code cell: its source and its tags."""

    source: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """What can be graded of one file.

    Args:
        slug: of the exercise; "" where it cannot be told.
        answers: task -> sources of the cells that answer it, in the notebook's order; none for a task
            whose cell is gone.
        notes: what an instructor should know (cells twice, retagged, not in UTF-8).
        problem: why nothing could be read; "" where something could.
    """

    slug: str = ""
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problem: str = ""


def read_submission(data: bytes, name: str, tasks: Mapping[str, Mapping[str, tuple[str, ...]]]) -> Submission:
    """Read one file.

    Args:
        data: its bytes.
        name: of the file; it tells a notebook from a percent script, and may name the exercise.
        tasks: slug -> task -> the names that its answer defines; what there is to grade.
    """
    try:
        cells, notes = read_cells(data, name)
    except Unreadable as error:
        return Submission(problem=str(error), slug=_slug_of_name(name, tasks))
    slug = find_slug(cells, name, tasks)
    if not slug:
        known = ", ".join(tasks)
        return Submission(problem=f"no exercise of this course (known: {known})", notes=tuple(notes))
    answers = {}
    for task, names in tasks[slug].items():
        answers[task], more = find_answer(cells, task, names)
        notes += more
    return Submission(slug, answers, tuple(notes))


def read_cells(data: bytes, name: str) -> tuple[list[Cell], list[str]]:
    """The code cells of a notebook or a percent script, and notes.

    Raises:
        Unreadable: too large, empty, not a notebook, cut short.
    """
    if len(data) > LARGEST:
        raise Unreadable(f"the file has {len(data) / 2**20:.0f} MB; at most {LARGEST >> 20} are read")
    text, notes = _decode(data)
    if not text.strip("\0 \t\r\n"):
        raise Unreadable("the file is empty")
    cells = _percent_cells(text) if name.lower().endswith(".py") else _notebook_cells(text)
    if len(cells) > MOST_CELLS:
        raise Unreadable(f"the notebook has {len(cells)} code cells; at most {MOST_CELLS} are read")
    return cells, notes


def _decode(data: bytes) -> tuple[str, list[str]]:
    for start, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(start):
            return data.decode(encoding, "replace"), [f"the file is in {encoding}, not in UTF-8"]
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace"), ["the file is not in UTF-8; it was read as Windows-1252"]


def _notebook_cells(text: str) -> list[Cell]:
    try:
        notebook = json.loads(text)
    except ValueError as error:
        cut = text.lstrip().startswith("{") and not text.rstrip().endswith("}")
        why = "it ends in the middle" if cut else f"not JSON: {error}"
        raise Unreadable(f"the file is no notebook ({why})") from error
    except RecursionError as error:
        raise Unreadable("the file is no notebook (nested too deeply)") from error
    raw = notebook.get("cells") if isinstance(notebook, dict) else None
    if raw is None and isinstance(notebook, dict) and isinstance(notebook.get("worksheets"), list):
        sheets = [s for s in notebook["worksheets"] if isinstance(s, dict)]  # format 3
        raw = [c for s in sheets for c in s.get("cells", []) if isinstance(s.get("cells"), list)]
    if not isinstance(raw, list):
        raise Unreadable("the file is JSON, but no notebook: it has no cells")
    return [cell for item in raw if (cell := _cell(item)) is not None]


def _cell(item: Any) -> Cell | None:
    if not isinstance(item, dict) or item.get("cell_type") != "code":
        return None
    source = item.get("source", item.get("input", ""))
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    metadata = item.get("metadata")
    tags = metadata.get("tags", []) if isinstance(metadata, dict) else []
    tags = tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()
    return Cell(source if isinstance(source, str) else "", tags)


def _percent_cells(text: str) -> list[Cell]:
    text = text.replace("\r\n", "\n")
    marks = list(_HEADER.finditer(text))
    if not marks:
        return [Cell(text)]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    cells = []
    for mark, end in zip(marks, ends, strict=True):
        if "[markdown]" in mark[1] or "[raw]" in mark[1]:
            continue
        found = _TAGS.search(mark[1])
        try:
            tags = json.loads(found[1]) if found else []
        except ValueError:
            tags = []
        cells.append(Cell(text[mark.end() : end].strip("\n"), tuple(t for t in tags if isinstance(t, str))))
    return cells


def find_slug(cells: Iterable[Cell], name: str, known: Iterable[str]) -> str:
    """The exercise that a notebook opens with `exercise("...")`, or that the file is named after, or ""."""
    known = list(known)
    for cell in cells:
        for slug in _EXERCISE.findall(cell.source):
            if slug in known:
                return str(slug)
    return _slug_of_name(name, known)


def _slug_of_name(name: str, known: Iterable[str]) -> str:
    fitting = [slug for slug in known if slug in name]
    return max(fitting, key=len) if fitting else ""


def find_answer(cells: list[Cell], task: str, names: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """The sources that answer a task, and notes.

    The cell tagged `answer-<task>` is taken; of several the last one that defines a name, as running them
    in order would. A name that no such cell defines is looked for in the others.
    """
    tag = f"answer-{task}"
    tagged = [i for i, cell in enumerate(cells) if tag in cell.tags and cell.source.strip()]
    defines = [defined_in(cell.source) for cell in cells]
    chosen: set[int] = set()
    notes = []
    for wanted in names:
        of_task = [i for i in tagged if wanted in defines[i]]
        anywhere = [i for i, there in enumerate(defines) if wanted in there]
        if of_task:
            chosen.add(of_task[-1])
        elif anywhere:
            chosen.add(anywhere[-1])
            notes.append(f"{task}: `{wanted}` is not in the answer cell; taken from another one")
    if not chosen:
        chosen = set(tagged[-1:])
    if len(tagged) > 1:
        notes.append(
            f"{task}: {len(tagged)} cells are tagged {tag}; the last one that defines the answer counts"
        )
    if not tagged and not chosen:
        notes.append(f"{task}: the answer cell is gone")
    sources = []
    for i in sorted(chosen):
        if len(cells[i].source) > LARGEST_SOURCE:
            notes.append(f"{task}: the answer cell has {len(cells[i].source)} characters and was not run")
        else:
            sources.append(without_magics(cells[i].source))
    return tuple(sources), list(dict.fromkeys(notes))


def defined_in(source: str) -> set[str]:
    """Names that a cell defines at its top level, whether it can be compiled or not."""
    if len(source) > LARGEST_SOURCE:
        return set()
    try:
        body = ast.parse(without_magics(source)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {first or second for first, second in _DEFINED.findall(source)}
    found: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return found


def without_magics(source: str) -> str:
    """A cell without IPython's lines (`%timeit`, `!ls`, `%%time`), which mean nothing to Python.

    Only where the cell is no Python as it stands; a line keeps its number.
    """
    try:
        ast.parse(source)
        return source
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        lines = source.split("\n")
        kept = [
            "" if line.lstrip().startswith(("%", "!")) or line.rstrip().endswith("?") else line
            for line in lines
        ]
        return "\n".join(kept)
