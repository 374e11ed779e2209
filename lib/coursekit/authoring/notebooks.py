"""A chapter on disk: NAME.py (percent format, what one edits) and NAME.ipynb (what carries the outputs).

Reading and writing both, and nothing about comparing or running them.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbformat import NotebookNode

FOLDERS = ("chapters", "solutions", "exercises")
METADATA_FILTER = "tags,editable,slideshow,mystnb,-all"
KEPT_METADATA = ("tags", "editable", "slideshow", "mystnb")
# Jupytext's note of how many blank lines follow a cell in the .py, where ruff wants another number than
# jupytext. It is no part of what the cell is; but without it in the .ipynb jupytext takes the two files for
# different ones, and JupyterLab refuses to open a notebook that is newer than its .py.
LAYOUT = "lines_to_next_cell"

# Every Jupyter has a kernel of this name: JupyterLab started from the course's environment takes that
# environment's own Python for it, so do nbval and nbclient, and a hosted notebook takes its own. Another
# name would open a "select kernel" dialog wherever it is not registered.
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Pair:
    """The two files of one notebook; either may be missing."""

    py: Path
    ipynb: Path

    @property
    def name(self) -> str:
        """`chapters/02_vae`"""
        return f"{self.py.parent.name}/{self.py.stem}"

    @property
    def generated(self) -> bool:
        """Whether both files come from a solution (see `generate`), so that neither is ever edited."""
        return self.py.parent.name == "exercises"


def repository_root(start: Path | None = None) -> Path:
    """The folder that holds chapters/, at or above `start` (the working folder when left out).

    Raises:
        FileNotFoundError: there is none.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "chapters").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise FileNotFoundError(
        f"no folder with chapters/ and pyproject.toml at or above {start}; run this from the repository"
    )


def find_pairs(root: Path, names: Sequence[str] = ()) -> list[Pair]:
    """All pairs below chapters/, solutions/ and exercises/, or those with the given names.

    Args:
        root: of the repository.
        names: `02_vae`, `solutions/02_vae` or a path of either file; none means all.

    Returns:
        The pairs, sorted by path.

    Raises:
        FileNotFoundError: a name fits no pair; the message lists what there is.
    """
    stems: set[Path] = set()
    for folder in FOLDERS:
        for path in (root / folder).rglob("*"):
            if ".ipynb_checkpoints" in path.parts or path.name.startswith("."):
                continue
            if path.suffix == ".ipynb" or (path.suffix == ".py" and is_percent(path)):
                stems.add(path.with_suffix(""))
    pairs = [Pair(stem.with_suffix(".py"), stem.with_suffix(".ipynb")) for stem in sorted(stems)]
    if not names:
        return pairs
    chosen = []
    for name in names:
        asked = Path(name).with_suffix("") if Path(name).suffix in (".py", ".ipynb") else Path(name)
        fitting = [p for p in pairs if p.py.with_suffix("").parts[-len(asked.parts) :] == asked.parts]
        # A bare name means the chapter where there is one: solutions share its name.
        chapters = [p for p in fitting if p.py.parent.name == "chapters"]
        if not fitting:
            raise FileNotFoundError(f"no notebook {name!r}; there are {', '.join(p.name for p in pairs)}")
        chosen += (chapters or fitting) if len(asked.parts) == 1 else fitting
    return chosen


def is_percent(path: Path) -> bool:
    """Whether a Python file is a notebook in percent format (and not a module of checks)."""
    return any(line.startswith("# %%") for line in path.read_text(encoding="utf-8").splitlines())


def read_py(path: Path) -> NotebookNode:
    """The notebook that a percent file describes; no outputs."""
    return jupytext.reads(path.read_text(encoding="utf-8"), fmt="py:percent")


def read_ipynb(path: Path) -> NotebookNode:
    """The stored notebook, outputs included."""
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def py_text(notebook: NotebookNode, header: str) -> str:
    """The percent file of a notebook under the given header (`header_of` an existing file).

    Raises:
        ValueError: reading the text back would not give the same cells.
    """
    bare = nbformat.v4.new_notebook(cells=[_source_only(cell) for cell in notebook.cells])
    # jupytext_version out of the text: a new version of the tool must not change every chapter.
    bare.metadata["jupytext"] = {
        "cell_metadata_filter": METADATA_FILTER,
        "notebook_metadata_filter": "-all",
    }
    text = header + jupytext.writes(bare, fmt="py:percent").removeprefix("\n")
    back = jupytext.reads(text, fmt="py:percent")
    if [key_of(c) for c in back.cells] != [key_of(c) for c in notebook.cells]:
        raise ValueError("a cell of this notebook has no form in the percent format; edit the .py by hand")
    return text


# The header that JupyterLab writes under chapters/jupytext.toml.
HEADER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

"""


def header_of(text: str) -> str:
    """Everything above the first cell of a percent file; the course's own header for an empty text."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("# %%"):
            return "".join(lines[:number])
    return HEADER


CellKey = tuple[str, str, tuple[tuple[str, str], ...]]


def key_of(cell: NotebookNode) -> CellKey:
    """What makes a cell the same cell: type, source, and the metadata that both files keep (tags first)."""
    kept = {name: cell.metadata[name] for name in KEPT_METADATA if cell.metadata.get(name)}
    if "tags" in kept:
        kept["tags"] = sorted(kept["tags"])
    return cell.cell_type, cell.source.rstrip(), tuple((name, repr(kept[name])) for name in sorted(kept))


def digest_of(notebook: NotebookNode) -> str:
    """Short hash of all cells' keys: two notebooks with the same one differ in outputs at most."""
    return _short_hash(repr([key_of(cell) for cell in notebook.cells]), 16)


def stored(notebook: NotebookNode, outputs_from: Iterable[NotebookNode] = ()) -> NotebookNode:
    """The notebook as it is stored: its cells, fixed metadata, ids made from content, outputs of equal cells.

    Args:
        notebook: whose cells count.
        outputs_from: cells of an earlier notebook; a code cell takes the first unused equal one's outputs.

    Returns:
        A new notebook; the arguments stay as they are.
    """
    old: dict[CellKey, list[NotebookNode]] = {}
    for cell in outputs_from:
        old.setdefault(key_of(cell), []).append(cell)
    seen: dict[CellKey, int] = {}
    cells = []
    for cell in notebook.cells:
        key = key_of(cell)
        made = _source_only(cell)
        earlier = old[key].pop(0) if old.get(key) else None
        if cell.cell_type == "code" and earlier is not None:
            made.outputs = [NotebookNode(output) for output in earlier.outputs]
            made.execution_count = earlier.execution_count
        seen[key] = seen.get(key, 0) + 1
        made["id"] = _short_hash(f"{key} {seen[key]}", 12)
        cells.append(made)
    result = nbformat.v4.new_notebook(cells=cells)
    result.metadata.update(kernelspec=dict(KERNELSPEC), language_info={"name": "python"})
    # What both files were when they last agreed: tells later which of the two was edited (see pairs).
    result.metadata["coursekit"] = {"agreed": digest_of(notebook)}
    return result


def ipynb_text(notebook: NotebookNode) -> str:
    """JSON of a valid notebook, ending in a newline."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def write_atomically(path: Path, text: str) -> bool:
    """Replace a file in one step (an interruption leaves the old or the new one); False if it is the same."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True


def _source_only(cell: NotebookNode) -> NotebookNode:
    kept: dict[str, Any] = {name: cell.metadata[name] for name in KEPT_METADATA if cell.metadata.get(name)}
    if LAYOUT in cell.metadata:
        kept[LAYOUT] = cell.metadata[LAYOUT]
    make = {
        "code": nbformat.v4.new_code_cell,
        "markdown": nbformat.v4.new_markdown_cell,
        "raw": nbformat.v4.new_raw_cell,
    }[cell.cell_type]
    return make(cell.source.rstrip(), metadata=kept)


def _short_hash(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
