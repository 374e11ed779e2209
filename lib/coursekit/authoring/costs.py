"""What every chapter costs: seconds, memory, steps and parameters, in docs/data/costs.json and in README.md.

`make run` measures it. A row holds a digest of the code that it was measured with, so that a test can say
which chapter has changed since.
"""

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coursekit.authoring import notebooks as nb
from coursekit.authoring.notebooks import write_atomically

TABLE = Path("docs") / "data" / "costs.json"
LIMIT_S = 12 * 60  # that all chapters together may take on two idle cores
BEGIN, END = "<!-- costs: written by `make run` -->", "<!-- end of costs -->"


@dataclass(frozen=True)
class Cost:
    """One chapter's row.

    Args:
        chapter: such as `02_vae`.
        seconds: on the clock, kernel start included.
        cpu_seconds: of the kernel.
        peak_mb: megabytes of memory at the most.
        steps: of all optimisers.
        parameters: trained, of all models together.
        largest: of the largest model, or of the pair of networks that one optimiser trains.
        load: of the machine when the run began: processes that wanted a core; above 1 the seconds are too
            many.
        digest: of the code that was run.
    """

    chapter: str
    seconds: float
    cpu_seconds: float
    peak_mb: int
    steps: int
    parameters: int
    largest: int
    load: float
    digest: str


def digest_of(py: Path, root: Path) -> str:
    """A digest of what decides on a chapter's cost: its code cells, and the recipes if it trains by them.

    Args:
        py: the chapter's percent file.
        root: of the repository.
    """
    cells = [cell.source for cell in nb.read_py(py).cells if cell.cell_type == "code"]
    found = hashlib.sha256("\0".join(cells).encode())
    if any("dgm.recipes" in cell for cell in cells):
        for source in sorted((root / "lib" / "dgm" / "recipes").glob("*.py")):
            found.update(source.read_bytes())
    return found.hexdigest()[:16]


def read(root: Path) -> dict[str, Cost]:
    """Chapter -> its row, of what was measured; {} where nothing was."""
    path = root / TABLE
    if not path.is_file():
        return {}
    return {row["chapter"]: Cost(**row) for row in json.loads(path.read_text(encoding="utf-8"))["chapters"]}


def write(root: Path, new: Sequence[Cost]) -> None:
    """Put new rows among the old ones, without those of chapters that are gone; README.md follows.

    Where the code is the same, the row of the quieter machine stays: its seconds are the truer ones.
    """
    chapters = sorted(path.stem for path in (root / "chapters").glob("[0-9]*.py"))
    rows = read(root)
    for cost in new:
        old = rows.get(cost.chapter)
        if old is None or old.digest != cost.digest or cost.load <= max(old.load, 1.0):
            rows[cost.chapter] = cost
    data: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
        "limit_seconds": LIMIT_S,
        "chapters": [asdict(rows[name]) for name in chapters if name in rows],
    }
    (root / TABLE).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(root / TABLE, json.dumps(data, indent=1) + "\n")
    readme = root / "README.md"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        fresh = in_readme(text, read(root))
        if fresh != text:
            write_atomically(readme, fresh)


def markdown(rows: Mapping[str, Cost]) -> str:
    """The rows as a markdown table, with their sum."""
    lines = [
        "| chapter | seconds | CPU-seconds | memory, MB | optimiser steps | parameters |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for cost in rows.values():
        lines.append(
            f"| {cost.chapter} | {cost.seconds:.0f} | {cost.cpu_seconds:.0f} | {cost.peak_mb} | "
            f"{cost.steps:,} | {cost.parameters:,} |"
        )
    lines.append(
        f"| all | {sum(c.seconds for c in rows.values()):.0f} | "
        f"{sum(c.cpu_seconds for c in rows.values()):.0f} | {max(c.peak_mb for c in rows.values())} | "
        f"{sum(c.steps for c in rows.values()):,} | {sum(c.parameters for c in rows.values()):,} |"
    )
    return "\n".join(lines)


def in_readme(text: str, rows: Mapping[str, Cost]) -> str:
    """README.md with the table between its two marks, and with minutes as the last column of its chapters.

    Args:
        text: of README.md; a row of its chapters begins with a link to the notebook.
        rows: chapter -> its row.

    Returns:
        The text; as it was where there are no marks or no rows.
    """
    if not rows:
        return text
    block = f"{BEGIN}\n\n{markdown(rows)}\n\n{END}"
    text = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, text, flags=re.DOTALL)
    for name, cost in rows.items():
        row = rf"(^\| \[[^]]+\]\(chapters/{re.escape(name)}\.ipynb\) \|.*\| )[\d.]+ \|$"
        text = re.sub(row, rf"\g<1>{cost.seconds / 60:.1f} |", text, flags=re.MULTILINE)
    return text


def stale(root: Path) -> list[str]:
    """What keeps the table from being that of the chapters as they are: a line for each finding."""
    rows, findings = read(root), []
    for py in sorted((root / "chapters").glob("[0-9]*.py")):
        row = rows.get(py.stem)
        if row is None:
            findings.append(f"{py.stem} is not in {TABLE}: `make run CHAPTER={py.stem}`")
        elif row.digest != digest_of(py, root):
            findings.append(f"{py.stem} has changed since {TABLE} was measured: `make run CHAPTER={py.stem}`")
    return findings
