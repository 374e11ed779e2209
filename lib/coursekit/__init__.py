"""What makes it a course.

- `coursekit.reading`: what a chapter imports to be read (`figure`, `frames`, `show`, `budget`, ...).
- `coursekit.exercises`: self-checks and hints, shared by the student's notebook and the grader.
- `coursekit.authoring`: what whoever edits a chapter uses (.py and .ipynb pairs, execution, equations).

Chapters write `from coursekit import figure, show, ...`.
"""

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
