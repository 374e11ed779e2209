"""What a task is: its points, its probe, its criteria and its hints."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from coursekit.exercises.probe import Plain, Probe

KINDS = ("implement", "derive", "predict", "find the bug", "design")


@dataclass(frozen=True)
class Criterion:
    """One thing an answer must get right.

    `judge(data, seed)` sees the probe's plain data and returns None where the answer is right, or the hint
    that fits what is wrong; it may raise `Trouble` (the readers in `judge` do). It fails for the reason in
    its name alone: one on gradients passes where the value is wrong and gradients flow.
    """

    name: str
    points: int
    judge: Callable[[Plain, int], str | None]


@dataclass(frozen=True)
class Mark:
    """The verdict on one criterion; `hint` is empty where it passed."""

    criterion: str
    points: int
    passed: bool
    hint: str = ""
    started: bool = True  # False: the answer is still the stub
    judged: bool = True  # False: no verdict on this criterion, something else stands in the way


@dataclass(frozen=True)
class Task:
    """One task of an exercise notebook.

    `points` counts the visible criteria and the hidden ones. `forbidden` lists dotted names that an answer
    must not call: the reference library always, and whatever would make the task pointless. `section` is the
    heading of the chapter's section that the task belongs to, as in "4 The two terms".
    """

    name: str
    title: str
    kind: str
    points: int
    probe: Probe
    criteria: tuple[Criterion, ...]
    hints: tuple[str, ...]
    forbidden: tuple[str, ...] = ()
    section: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"task {self.name}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not self.criteria or self.visible_points > self.points:
            raise ValueError(
                f"task {self.name}: the visible criteria carry {self.visible_points} points, "
                f"the task {self.points}; it needs a criterion, and at most that many points"
            )

    @property
    def visible_points(self) -> int:
        return sum(criterion.points for criterion in self.criteria)


@dataclass(frozen=True)
class Wrong:
    """A wrong answer that a student might give: the answer cell's source, a piece of its hint, and the
    visible criteria that fail (all others pass)."""

    name: str
    source: str
    hint: str
    fails: tuple[str, ...]


@dataclass(frozen=True)
class Variant:
    """Another right way to write the answer: the answer cell's source."""

    name: str
    source: str


@dataclass(frozen=True)
class Equivalent:
    """A random change of the solution that must not cost a mark: the line as it then is, in the words of
    `ast.unparse`, and why it computes the same, or is as right by the words of the task."""

    line: str
    why: str


@dataclass(frozen=True)
class Exercise:
    """All tasks of one notebook; the last four are there only beside the solutions."""

    slug: str
    tasks: Mapping[str, Task]
    hidden: Mapping[str, tuple[Criterion, ...]] = field(default_factory=dict)
    wrong: Mapping[str, tuple[Wrong, ...]] = field(default_factory=dict)
    variants: Mapping[str, tuple[Variant, ...]] = field(default_factory=dict)
    equivalent: Mapping[str, tuple[Equivalent, ...]] = field(default_factory=dict)

    @property
    def points(self) -> int:
        return sum(task.points for task in self.tasks.values())


def load_probes(folder: Path) -> dict[str, Probe]:
    """The probes alone (`probes.py`), as a process that runs students' code needs them."""
    return dict(_module(folder, "probes").PROBES)


def load_exercise(folder: Path) -> Exercise:
    """Load `probes.py` and `visible.py`, and where they are there `hidden.py` and `answers.py`.

    Raises:
        FileNotFoundError: the folder holds no `visible.py`.
    """
    if not (folder / "visible.py").is_file():
        raise FileNotFoundError(f"{folder} holds no visible.py: it should be a checks/<slug> folder")
    tasks = {task.name: task for task in _module(folder, "visible").TASKS}
    hidden = dict(_module(folder, "hidden").HIDDEN) if (folder / "hidden.py").is_file() else {}
    answers = _module(folder, "answers") if (folder / "answers.py").is_file() else None
    return Exercise(
        folder.name,
        tasks,
        {name: tuple(criteria) for name, criteria in hidden.items()},
        {name: tuple(items) for name, items in answers.WRONG.items()} if answers else {},
        {name: tuple(items) for name, items in answers.VARIANTS.items()} if answers else {},
        {name: tuple(items) for name, items in getattr(answers, "EQUIVALENT", {}).items()},
    )


def _module(folder: Path, name: str) -> ModuleType:
    """Import `folder/name.py`; as 02_vae is no package name, the folder gets one made from its path."""
    folder = folder.resolve()
    package = f"coursekit_checks_{sha256(str(folder).encode()).hexdigest()[:12]}"
    if package not in sys.modules:
        module = ModuleType(package)
        module.__path__ = [str(folder)]
        sys.modules[package] = module
    return importlib.import_module(f"{package}.{name}")
