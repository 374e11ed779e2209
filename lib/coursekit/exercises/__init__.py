"""Exercises that check themselves; the student's notebook and the grader share these pieces.

- `notebook`: `exercise`, `check`, `hint`, `progress`, `when_done`: what a student types
- `task`: `Task`, `Criterion`, `Wrong`, `Variant`, `Equivalent`, and how a folder of checks is loaded
- `probe`: tries an answer beside the student's code and writes plain data
- `judge`: reads plain data where no student code runs, and gives marks with hints
- `scan`: finds an answer that calls the library instead of being one
- `report`: how results look

Names are imported when they are first used, so that a process that only probes never loads the judge.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.exercises.notebook import assess, check, exercise, find_checks, hint, progress, when_done
    from coursekit.exercises.probe import Probe, run_probe
    from coursekit.exercises.report import Result
    from coursekit.exercises.scan import forbidden_in
    from coursekit.exercises.task import (
        Criterion,
        Equivalent,
        Exercise,
        Mark,
        Task,
        Variant,
        Wrong,
        load_exercise,
        load_probes,
    )

_HOME = {
    "notebook": ("assess", "check", "exercise", "find_checks", "hint", "progress", "when_done"),
    "probe": ("Probe", "run_probe"),
    "report": ("Result",),
    "scan": ("forbidden_in",),
    "task": (
        "Criterion",
        "Equivalent",
        "Exercise",
        "Mark",
        "Task",
        "Variant",
        "Wrong",
        "load_exercise",
        "load_probes",
    ),
}

__all__ = [
    "Criterion",
    "Equivalent",
    "Exercise",
    "Mark",
    "Probe",
    "Result",
    "Task",
    "Variant",
    "Wrong",
    "assess",
    "check",
    "exercise",
    "find_checks",
    "forbidden_in",
    "hint",
    "load_exercise",
    "load_probes",
    "progress",
    "run_probe",
    "when_done",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
