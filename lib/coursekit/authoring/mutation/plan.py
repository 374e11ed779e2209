"""What `tests/mutants.toml` says: which modules are covered and why, and which mutants compute the same."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from coursekit.authoring.mutation.operators import SAME
from coursekit.authoring.mutation.sites import Mutant, mutants

PLAN = "tests/mutants.toml"


@dataclass(frozen=True)
class Equivalent:
    """A change that no test can notice."""

    module: str
    function: str
    before: str
    after: str
    why: str

    def fits(self, mutant: Mutant) -> bool:
        """Whether it speaks of this mutant; the line's number plays no part."""
        mine = self.module, self.function, self.before, self.after
        return mine == (mutant.module, mutant.function, mutant.before, mutant.after)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        source: folder of the package, from the root.
        package: its name.
        tests: paths that are given to pytest.
        ignored: paths below them that are not.
        marks: pytest's -m.
        patience_s: CPU seconds that a test of a mutant may take beyond ten times its own.
        covered: pattern of module names -> why.
        left_out: likewise, for what is not mutated.
        equivalents: in the order of the file.
    """

    source: str
    package: str
    tests: tuple[str, ...]
    ignored: tuple[str, ...]
    marks: str
    patience_s: float
    covered: dict[str, str]
    left_out: dict[str, str]
    equivalents: tuple[Equivalent, ...]

    def modules(self, root: Path) -> dict[str, Path]:
        """Covered modules and their files.

        Raises:
            ValueError: a module that is neither covered nor left out, or both; a pattern that fits none.
        """
        everything = {
            ".".join(path.relative_to(root / self.source).with_suffix("").parts): path
            for path in sorted((root / self.source / self.package).rglob("*.py"))
            if path.name != "__init__.py"
        }
        wrong = []
        for name in everything:
            found = [p for p in (*self.covered, *self.left_out) if fnmatchcase(name, p)]
            if len(found) != 1:
                wrong.append(f"{name} must fit one pattern, fits {', '.join(found) or 'none'}")
        for pattern in (*self.covered, *self.left_out):
            if not any(fnmatchcase(name, pattern) for name in everything):
                wrong.append(f"{pattern} fits no module")
        if wrong:
            raise ValueError(f"{PLAN}, [covered] and [left_out]: " + "; ".join(wrong))
        return {n: path for n, path in everything.items() if any(fnmatchcase(n, p) for p in self.covered)}


def read(root: Path) -> Plan:
    """Read the plan of a repository."""
    data = tomllib.loads((root / PLAN).read_text(encoding="utf-8"))
    equivalents = tuple(
        Equivalent(entry["module"], entry["function"], before, after, entry["why"])
        for entry in data.get("equivalent", ())
        for before, after in entry["changes"]
    )
    head = data["plan"]
    return Plan(
        source=head["source"],
        package=head["package"],
        tests=tuple(head["tests"]),
        ignored=tuple(head.get("ignored", ())),
        marks=head["marks"],
        patience_s=float(head.get("patience_s", 5)),
        covered=data["covered"],
        left_out=data.get("left_out", {}),
        equivalents=equivalents,
    )


def drawn(path: Path, module: str, most: int, seed: int) -> tuple[list[Mutant], int]:
    """At most so many mutants of a module (0: all), drawn without preference, and how many there are.

    A larger draw holds the smaller ones. Swaps that cannot be seen have their turn in the draw, so that a new
    rule about them changes no other mutant's, but they are neither returned nor counted.
    """
    every = mutants(path, module)
    possible = sum(m.operator != SAME for m in every)
    order = list(range(len(every)))
    if most and len(every) > most:
        random.Random(f"{seed} {module}").shuffle(order)
        order = sorted(order[:most])
    return [every[i] for i in order if every[i].operator != SAME], possible


def stale(plan: Plan, root: Path, modules: Iterable[str]) -> list[Equivalent]:
    """Entries that fit no mutant of these modules: the code has changed since."""
    files = plan.modules(root)
    mine = [entry for entry in plan.equivalents if entry.module in modules]
    every: dict[str, Sequence[Mutant]] = {
        name: drawn(files[name], name, 0, 0)[0] for name in {entry.module for entry in mine} if name in files
    }
    return [entry for entry in mine if not any(entry.fits(m) for m in every.get(entry.module, ()))]
