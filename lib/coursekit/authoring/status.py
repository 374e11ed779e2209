"""How the tests of the labelled equations ended, for the book's index: written by pytest, read by the book.

`pytest --equation-report docs/data/equations.json` (`make equation-report`) runs nothing by itself: it notes,
for every test that carries `@pytest.mark.equation`, how it ended. No dates and no paths of a machine go into
the file, so that the same code gives the same file.

A digest of each equation and of the text of its tests goes with it: where either has changed since, the book
says so instead of showing a result that belongs to something else.
"""

import ast
import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coursekit.authoring.equations import IndexEntry, equation_index

if TYPE_CHECKING:
    import pytest

REPORT = Path("docs") / "data" / "equations.json"
PACKAGES = ("torch", "numpy", "scipy")
OUTCOMES = ("failed", "not run", "passed")  # from the worst; the worst of a label's tests is the label's
OPTION = "--equation-report"
PROPERTY = "equation"


@dataclass(frozen=True)
class Status:
    """How an equation's tests ended.

    Args:
        outcome: "passed" if all did, "failed" if one did, "not run" if one was left out; "changed" if the
            equation or a test is no longer what was run, "unknown" if the report has no word on it.
        cases: how many cases of tests ran, a parametrised test counting once for each.
    """

    outcome: str
    cases: int = 0


def statuses(root: Path, index: Iterable[IndexEntry] | None = None) -> dict[str, Status]:
    """The status of every labelled equation.

    Args:
        root: of the repository.
        index: of `equation_index`, if it is at hand.
    """
    labels = read(root / REPORT).get("labels", {})
    found = {}
    for entry in equation_index(root) if index is None else index:
        noted = labels.get(entry.equation.label)
        if noted is None:
            status = Status("unknown")
        elif noted["digest"] != digest(entry, root):
            status = Status("changed", noted["cases"])
        else:
            status = Status(noted["outcome"], noted["cases"])
        found[entry.equation.label] = status
    return found


def read(path: Path) -> dict[str, Any]:
    """The report, or nothing where there is none."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def stale(root: Path) -> list[str]:
    """What the report says of labels that are gone, or does not say of labels that are there."""
    noted = read(root / REPORT).get("labels", {})
    labels = {entry.equation.label for entry in equation_index(root)}
    return [f"{label}: not in the report" for label in sorted(labels - set(noted))] + [
        f"{label}: in the report, and in no chapter" for label in sorted(set(noted) - labels)
    ]


def digest(entry: IndexEntry, root: Path) -> str:
    """Of an equation's LaTeX and of the code of its tests; how they are laid out does not count."""
    texts = [" ".join(entry.equation.tex.split())]
    for test in entry.tests:
        path, *names = test.split("::")
        texts.append(_code(root / path, names))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _code(path: Path, names: list[str]) -> str:
    """The text of a test, or of a method of a test class, with its decorators, on one line."""
    text = path.read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for name in names:
        found = [c for c in ast.iter_child_nodes(node) if getattr(c, "name", None) == name]
        if not found:
            return ""
        node = found[0]
    if not isinstance(node, ast.FunctionDef):
        return ""
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return " ".join(" ".join(text.splitlines()[first - 1 : node.end_lineno]).split())


def report(root: Path, outcomes: dict[str, list[str]]) -> dict[str, Any]:
    """What goes into the file.

    Args:
        root: of the repository.
        outcomes: for each label, how the cases of its tests ended.
    """
    labels = {}
    for entry in sorted(equation_index(root), key=lambda e: e.equation.label):
        ended = outcomes.get(entry.equation.label, [])
        worst = min(ended, key=OUTCOMES.index) if ended else "not run"
        cases = sum(outcome != "not run" for outcome in ended)
        labels[entry.equation.label] = {"outcome": worst, "cases": cases, "digest": digest(entry, root)}
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    return {"commit": _commit(root), "versions": versions, "labels": labels}


def _commit(root: Path) -> str:
    """The commit that was tested; with a plus where dgm, the chapters or the tests differed from it."""
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [
                *git,
                "status",
                "--porcelain",
                "--untracked-files=no",
                "--",
                "lib/dgm",
                "chapters/*.py",
                "tests",
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


# The plugin: the repository's conftest.py names this module.


def pytest_addoption(parser: "pytest.Parser") -> None:
    """The option that asks for the report."""
    parser.addoption(
        OPTION, metavar="PATH", help=f"note how every equation's tests ended, in PATH ({REPORT.as_posix()})"
    )


def pytest_configure(config: "pytest.Config") -> None:
    """The process that sees all results notes them: with pytest-xdist the one that runs no test itself."""
    path = config.getoption(OPTION)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(Path(config.rootpath), Path(path)))


def pytest_itemcollected(item: "pytest.Item") -> None:
    """Hand the labels to the result, which is all that comes back from a worker."""
    for mark in item.iter_markers(name="equation"):
        item.user_properties.extend((PROPERTY, label) for label in mark.args)


class Recorder:
    """Notes how the tests of equations end, and writes the file at the end of the run."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root, self.path = root, path
        self.cases: dict[tuple[str, str], str] = {}  # (label, test case) -> outcome

    def pytest_runtest_logreport(self, report: "pytest.TestReport") -> None:
        """Called after setup, call and teardown of every test: a failure of any of them counts."""
        outcome = {"passed": "passed", "failed": "failed"}.get(report.outcome, "not run")
        if report.when != "call" and outcome == "passed":
            return
        for name, label in report.user_properties:
            if name == PROPERTY:
                before = self.cases.get((str(label), report.nodeid), "passed")
                self.cases[(str(label), report.nodeid)] = min(before, outcome, key=OUTCOMES.index)

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        outcomes: dict[str, list[str]] = {}
        for (label, _), outcome in sorted(self.cases.items()):
            outcomes.setdefault(label, []).append(outcome)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report(self.root, outcomes), indent=1)
        self.path.write_text(text + "\n", encoding="utf-8")
