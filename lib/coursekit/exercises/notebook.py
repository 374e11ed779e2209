"""What a student types: `exercise(slug)` once, then `check(task)`, `hint(task)`, `progress()`.

No server and no account: the checks lie beside the notebook, in `checks/<slug>/`.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from coursekit.exercises.judge import judge
from coursekit.exercises.probe import NOT_DONE, run_probe
from coursekit.exercises.report import Note, Progress, Result, points
from coursekit.exercises.scan import ALWAYS, forbidden_in_answer
from coursekit.exercises.task import Exercise, Mark, Task, load_exercise

SEED = 0  # of the self-check; grading uses others


class _Session:
    exercise: Exercise | None = None
    hints_used: dict[str, int] = {}  # noqa: RUF012 (one notebook, one session)


def exercise(slug: str, folder: Path | str | None = None) -> None:
    """Open an exercise: load its tasks, so that `check`, `hint` and `progress` know them.

    Args:
        slug: name of the notebook, such as "02_vae".
        folder: that holds `checks/<slug>/`; by default the working folder, or `exercises/` here or next door.

    Raises:
        FileNotFoundError: no such checks; the message says where it looked.
    """
    _Session.exercise = load_exercise(find_checks(slug, folder))
    _Session.hints_used = {}
    opened = _Session.exercise
    tasks = "; ".join(f"{t.name} ({points(t.points)})" for t in opened.tasks.values())
    _display(Note(f"Exercise {slug}: {len(opened.tasks)} tasks, {points(opened.points)}", f"{tasks}."))


def check(name: str, namespace: Mapping[str, Any] | None = None) -> None:
    """Check your answer to a task and show the result, with the hint that fits.

    Args:
        name: of the task, as in `check("kl")`.
        namespace: where the answer is looked up; by default the notebook's variables.
    """
    task = _task(name)
    if task:
        _display(assess(task, sys._getframe(1).f_globals if namespace is None else namespace))


def hint(name: str) -> None:
    """Show the next hint to a task; each call shows one more, after the last one the last again."""
    task = _task(name)
    if not task:
        return
    used = _Session.hints_used.get(name, 0)
    if used == len(task.hints):
        number, _, title = task.section.partition(" ")
        _display(
            Note(
                f"{name}: hint {used} of {used}, and that is the last",
                " ".join([*task.hints[-1:], f'Read section {number}, "{title}", of the chapter once more.']),
            )
        )
        return
    _Session.hints_used[name] = used + 1
    _display(Note(f"{name}: hint {used + 1} of {len(task.hints)}", task.hints[used]))


def progress(namespace: Mapping[str, Any] | None = None) -> None:
    """Check every task of the notebook and show the points in one table."""
    opened = _opened()
    if not opened:
        return
    names = sys._getframe(1).f_globals if namespace is None else namespace
    with contextlib.redirect_stdout(io.StringIO()):
        results = [assess(task, names) for task in opened.tasks.values()]
    _display(Progress(opened, results, dict(_Session.hints_used)))


@contextlib.contextmanager
def when_done(name: str) -> Iterator[None]:
    """Skip the block, with a sentence instead of an error, while the task it uses is not done."""
    try:
        yield
    except NotImplementedError as error:
        if NOT_DONE not in str(error):
            raise
        _display(Note("Nothing to show yet", f"This cell uses your answer to {name}, which is not done yet."))


def assess(task: Task, namespace: Mapping[str, Any], seed: int = SEED) -> Result:
    """Probe and judge one task on its visible criteria."""
    called: list[str] = []
    for answer in task.probe.answers:
        called += forbidden_in_answer(namespace.get(answer), namespace, (*ALWAYS, *task.forbidden))
    if called:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(called))
        text = f"Your answer uses {names}. The task is to write it yourself, with plain torch operations."
        return Result(task, tuple(Mark(c.name, c.points, False, text, judged=False) for c in task.criteria))
    reply = json.loads(json.dumps(run_probe(task.probe, namespace, seed)))  # as it crosses a process boundary
    return Result(task, tuple(judge(task.criteria, reply, seed)))


def find_checks(slug: str, folder: Path | str | None = None) -> Path:
    """The folder `checks/<slug>` of an exercise, from wherever the notebook runs."""
    if folder is not None:
        places = [Path(folder)]
    else:
        here = Path.cwd()
        places = [here, *(parent / "exercises" for parent in (here, *here.parents[:2]))]
    for place in places:
        if (place / "checks" / slug / "visible.py").is_file():
            return place / "checks" / slug
    looked = ", ".join(str(place / "checks" / slug) for place in places)
    raise FileNotFoundError(
        f'there are no checks for exercise("{slug}"); looked for {looked}. '
        "Keep the folder checks beside the notebook, or name the folder that holds it: "
        f'exercise("{slug}", folder="...").'
    )


def _opened() -> Exercise | None:
    if _Session.exercise is None:
        _display(
            Note("No exercise is open", 'Run the first code cell, the one that calls `exercise("...")`.')
        )
    return _Session.exercise


def _task(name: str) -> Task | None:
    opened = _opened()
    if opened and name not in opened.tasks:
        _display(
            Note(f"There is no task {name!r}", f"The tasks of {opened.slug} are {', '.join(opened.tasks)}.")
        )
        return None
    return opened.tasks[name] if opened else None


def _display(item: Any) -> None:
    """In a notebook as HTML with plain text beside it, elsewhere as plain text."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(item)
        return
    if get_ipython() is None:
        print(item)
    else:
        display(item)
