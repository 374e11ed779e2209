"""Results that are kept, so that a run goes on where one stopped, and the table that they add up to."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from coursekit.authoring.mutation.plan import Equivalent
from coursekit.authoring.mutation.sites import Mutant
from coursekit.authoring.mutation.warm import Test

FOLDER = ".mutants"
TABLE = "docs/data/mutants.json"
AT_LEAST = 0.95


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Args:
        key: the mutant's.
        verdict: "killed", "survived" or "unfit".
        by: the test that failed, or why the change could not be put in.
        tests: digest of the tests that the verdict rests on: the one that failed, or all that passed.
    """

    key: str
    verdict: str
    by: str
    tests: str


class Results:
    """Verdicts in a file of JSON lines, written as they come; of two on one mutant the later holds."""

    def __init__(self, path: Path) -> None:
        self.path, self.known = path, dict[str, Result]()
        path.parent.mkdir(parents=True, exist_ok=True)
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                result = Result(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the line on which a run was stopped
            self.known[result.key] = result

    def add(self, result: Result) -> None:
        """Keep a verdict."""
        self.known[result.key] = result
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def holds(self, key: str, tests: Mapping[str, Test], reaching: Sequence[str]) -> bool:
        """Whether there is a verdict that still rests on the tests as they are."""
        result = self.known.get(key)
        if result is None or result.verdict == "unfit":
            return False
        if result.verdict == "killed":
            return result.by in tests and result.tests == tests[result.by].digest
        return result.tests == digest_of(tests, reaching)


def digest_of(tests: Mapping[str, Test], names: Iterable[str]) -> str:
    """Of tests and their sources."""
    text = "\n".join(sorted(f"{name} {tests[name].digest}" for name in names))
    return sha256(text.encode()).hexdigest()[:12]


def table(
    chosen: Mapping[str, tuple[Sequence[Mutant], int]],
    known: Mapping[str, Result],
    equivalents: Sequence[Equivalent],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of modules, and the survivors.

    Args:
        chosen: of each module the mutants that were drawn, and how many there are.
        known: the verdicts.
        equivalents: what explains a survivor.

    Returns:
        {module, possible, mutants, killed, equivalent, survived, rate} of each module, where rate is the
        share killed of those that are not equivalent; {module, function, line, what, why} of every mutant
        that passed all tests, without a why where nobody has explained it.
    """
    rows, survivors = [], []
    for module, (drawn, possible) in chosen.items():
        tried = [m for m in drawn if m.key in known and known[m.key].verdict != "unfit"]
        passed = [m for m in tried if known[m.key].verdict == "survived"]
        explained = 0
        for mutant in passed:
            why = next((entry.why for entry in equivalents if entry.fits(mutant)), "")
            explained += bool(why)
            what = f"{mutant.before} -> {mutant.after}"
            place = {"module": module, "function": mutant.function, "line": mutant.lines[0]}
            survivors.append(place | {"what": what, "why": why})
        killed = len(tried) - len(passed)
        row = {"module": module, "possible": possible, "mutants": len(tried), "killed": killed}
        counts = {"equivalent": explained, "survived": len(passed) - explained}
        rows.append(row | counts | {"rate": rate(len(tried), killed, explained)})
    return rows, survivors


def rate(mutants: int, killed: int, equivalent: int) -> float:
    """Share killed of those that can be."""
    return round(killed / (mutants - equivalent), 4) if mutants > equivalent else 1.0


def total(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums of the rows."""
    sums = {
        name: sum(row[name] for row in rows)
        for name in ("possible", "mutants", "killed", "equivalent", "survived")
    }
    return sums | {"rate": rate(sums["mutants"], sums["killed"], sums["equivalent"])}


def provenance(root: Path, package: str) -> dict[str, Any]:
    """The commit and the versions."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = git("status", "--porcelain", "--", f"lib/{package}", "tests")
    versions = {name: metadata.version(name) for name in ("torch", "numpy", "scipy", "pytest", "coverage")}
    commit = git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    return {"commit": commit, "versions": {"python": platform.python_version()} | versions}
