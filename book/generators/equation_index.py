"""The index of equations: each with its place, the function that implements it, and how its test ended.

What stands where comes from `coursekit.authoring.equations`, how the tests ended from the report that pytest
writes for `coursekit.authoring.status`. Without a report the page says that there is none.
"""

from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from coursekit.authoring.equations import IndexEntry, equation_index
from coursekit.authoring.status import REPORT, Status, read, statuses
from generators.interfaces import public_paths, read_modules

PAGE = "reference/equations.md"
FOLDER = "tests/equations/"
COMMAND = "make equation-report"
# Outcome -> what the page says of it. The words carry it; the sign and the colour only help.
WORDS = {
    "passed": "passed",
    "failed": "failed",
    "not run": "not run",
    "changed": "changed since the run",
    "unknown": "no status",
}
SIGNS = {"passed": "✓", "failed": "✗", "not run": "–", "changed": "~", "unknown": "?"}


def pages(root: Path, edition: str) -> dict[str, str]:
    """The page in the source tree, the same in both editions."""
    index = equation_index(root)
    titles = {path.stem: _title(path) for path in sorted((root / "chapters").glob("*.py"))}
    paths = public_paths(read_modules(root / "lib"))
    return {PAGE: page(index, titles, paths, statuses(root, index), read(root / REPORT))}


def page(
    index: list[IndexEntry],
    titles: Mapping[str, str],
    paths: Mapping[str, str],
    status: Mapping[str, Status],
    report: Mapping[str, Any],
) -> str:
    """The whole page in MyST.

    Args:
        index: the equations in reading order.
        titles: of the chapters, by file name without suffix.
        paths: from the function names of the index to the names of the reference.
        status: by label.
        report: of the last run, for its versions; empty if there is none.
    """
    out = [
        '---\nmyst:\n  enable_extensions: ["attrs_inline", "colon_fence", "dollarmath"]\n---\n',
        "(equation-index)=\n# Equations\n",
        f"Every numbered equation of the chapters, {len(index)} in all: where it is derived, which function "
        "of {doc}`dgm <dgm/index>` implements it, which test in `tests/equations/` checks it, and how that "
        "test ended in the last run.\n",
        summary([status[e.equation.label] for e in index], report),
        "",
        # A script puts a field here: without it the field would do nothing.
        ":::{container} equation-filter\nEach stands with its label: search the page for it.\n:::\n",
    ]
    for chapter, group in groupby(index, key=lambda e: e.equation.chapter):
        entries = list(group)
        out.append(f"## {number(chapter)} {titles[chapter]}\n")
        out.append(f"{{doc}}`Read the chapter </chapters/{chapter}>` ({len(entries)} equations).\n")
        out += [card(entry, paths, status[entry.equation.label]) for entry in entries]
    return "\n".join(out).rstrip() + "\n"


def summary(found: list[Status], report: Mapping[str, Any]) -> str:
    """One paragraph: how many passed, and what was run; or that nothing is known."""
    if not report:
        return (
            ":::{note}\nNo run of the tests has been recorded, so no status is shown. "
            f"`{COMMAND}` runs the equations' tests and records how they ended.\n:::"
        )
    counts = Counter(s.outcome for s in found)
    parts = [f"{counts[outcome]} {WORDS[outcome]}" for outcome in WORDS if counts[outcome]]
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    commit = report["commit"]
    state = f"the state after commit `{commit[:-1]}`" if commit.endswith("+") else f"commit `{commit}`"
    cases = sum(s.cases for s in found)
    return (
        f"**Last recorded run:** {', '.join(parts)}; {cases} cases of tests. It ran {state} with {versions}. "
        f"`{COMMAND}` repeats it. A result is shown only if neither the equation nor its test has changed "
        "since."
    )


def card(entry: IndexEntry, paths: Mapping[str, str], status: Status) -> str:
    """One equation: number and label, the formula, and a line each for code, test and status."""
    e = entry.equation
    functions = [f"{{py:obj}}`{paths[f]} <{paths[f]}>`" if f in paths else f"`{f}`" for f in entry.functions]
    tests = [f"`{test.removeprefix(FOLDER)}`" for test in entry.tests]
    cases = f", {status.cases} {'case' if status.cases == 1 else 'cases'}" if status.cases else ""
    outcome = f"[{SIGNS[status.outcome]} {WORDS[status.outcome]}{cases}]{{.status .{_slug(status.outcome)}}}"
    return "\n".join(
        [
            "::::{container} equation-card",
            f"{{eq}}`{e.label}` `{e.label}` {outcome}\n",
            f"```{{math}}\n{e.tex}\n```\n",
            f"Implemented by {', '.join(functions)}.\n" if functions else "Derived in the text.\n",
            f"Tested by {', '.join(tests)}." if tests else "No test.",
            "::::\n",
        ]
    )


def number(chapter: str) -> int:
    """Of a chapter: `02_vae` is chapter 2."""
    return int(chapter.partition("_")[0])


def _slug(outcome: str) -> str:
    return f"status-{outcome.replace(' ', '-')}"


def _title(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# # "):
            return line.removeprefix("# # ").strip()
    return path.stem
