"""What makes it a course.

- `coursekit.reading`: what a chapter imports to be read (`figure`, `frames`, `show`, `budget`, ...).
- `coursekit.exercises`: self-checks and hints, shared by the student's notebook and the grader.
- `coursekit.authoring`: what whoever edits a chapter uses (.py and .ipynb pairs, execution, equations).

Chapters write `from coursekit import figure, show, ...`. Names are imported when they are first used, so that
a process that only probes an answer never waits for the plots.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coursekit.exercises import check, exercise, hint, progress, when_done
    from coursekit.reading import (
        PALETTE,
        budget,
        density_plot,
        figure,
        frames,
        image_grid,
        loss_plot,
        show,
        use_style,
    )

_HOME = {
    "exercises": ("check", "exercise", "hint", "progress", "when_done"),
    "reading": (
        "PALETTE",
        "budget",
        "density_plot",
        "figure",
        "frames",
        "image_grid",
        "loss_plot",
        "show",
        "use_style",
    ),
}

__all__ = [
    "PALETTE",
    "budget",
    "check",
    "density_plot",
    "exercise",
    "figure",
    "frames",
    "hint",
    "image_grid",
    "loss_plot",
    "progress",
    "show",
    "use_style",
    "when_done",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"coursekit has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
