"""Marks for one submission: every task is tried in the sandbox and judged outside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from coursekit.authoring import notebooks as nb
from coursekit.authoring.generate import student_notebook, tagged
from coursekit.exercises.judge import judge
from coursekit.exercises.scan import ALWAYS, forbidden_in
from coursekit.exercises.task import Criterion, Exercise, Mark, Task, load_exercise
from coursekit.grading.sandbox import Job, Outcome, Sandbox
from coursekit.grading.submission import Submission

WHY = {
    "late": "Your answer was still running when its time was up ({seconds:.0f} CPU-seconds). Is there a loop "
    "that never ends?",
    "killed": "Your answer was stopped from outside while it ran.",
    "crashed": "Your answer crashed Python itself.",
    "ended": "Your answer ended Python itself (`exit`, `quit` or `os._exit`) before it could be tried.",
    "died": "Your answer ended the process that tried it.",
    "too much to say": "Your answer returns far more than it was asked for.",
    "too much memory": "Your answer needs more memory than there is for it.",
    "too many processes": "Your answer starts far too many processes.",
}
GONE = "There is no cell with an answer to this task in what you handed in."


@dataclass(frozen=True)
class Source:
    """An exercise as the grader needs it: tasks with hidden criteria, and the setup cells.

    Args:
        exercise: with its hidden criteria.
        setup: sources of the cells tagged `setup`.
        answers: task -> sources of its answer cells, with the solution in them.
        version: a digest of all that decides on marks, so that a changed exercise is graded anew.
    """

    exercise: Exercise
    setup: tuple[str, ...]
    answers: Mapping[str, tuple[str, ...]]
    version: str

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """Task -> the names that its answer defines."""
        return {name: task.probe.answers for name, task in self.exercise.tasks.items()}


def load_source(solutions: Path, slug: str) -> Source:
    """Load `solutions/<slug>.py` and `solutions/checks/<slug>/`."""
    path, checks = solutions / f"{slug}.py", solutions / "checks" / slug
    setup = tuple(tagged(student_notebook(path), "setup"))
    digest = sha256("\0".join(setup).encode())
    for name in ("probes.py", "visible.py", "hidden.py"):
        digest.update((checks / name).read_bytes() if (checks / name).is_file() else b"")
    exercise = load_exercise(checks)
    solved = nb.read_py(path)
    answers = {task: tuple(tagged(solved, f"answer-{task}")) for task in exercise.tasks}
    return Source(exercise, setup, answers, digest.hexdigest()[:16])


@dataclass(frozen=True)
class TaskMarks:
    """What one student gets for one task.

    Args:
        task: its name.
        possible: points of the task.
        visible: marks of the criteria that the student knows.
        hidden: marks of those that only the grader knows; their names and hints never leave the grader.
        trouble: why nothing could be judged, for the student; "".
        stopped: the error that ended the answer cell, for the student; "".
        log: what the answer printed.
        seconds: of CPU time.
        look: why an instructor should look at it; "".
    """

    task: str
    possible: int
    visible: tuple[Mark, ...]
    hidden: tuple[Mark, ...]
    trouble: str = ""
    stopped: str = ""
    log: str = ""
    seconds: float = 0.0
    look: str = ""

    @property
    def got(self) -> int:
        return sum(mark.points for mark in (*self.visible, *self.hidden) if mark.passed)


def seed_of(student: str, slug: str, task: str, secret: str) -> int:
    """The seed of a student's inputs: always the same, and unknown to who does not know the secret."""
    digest = sha256("\0".join((secret, student, slug, task)).encode()).digest()
    return int.from_bytes(digest[:4], "big") % (2**31 - 2) + 1


def mark_submission(
    source: Source,
    submission: Submission,
    sandbox: Sandbox,
    seeds: Mapping[str, int],
    only: tuple[str, ...] = (),
) -> list[TaskMarks]:
    """Marks for every task of an exercise (or for those named in `only`), whatever was handed in."""
    marks = []
    for name, task in source.exercise.tasks.items():
        if not only or name in only:
            answer = tuple(submission.answers.get(name, ()))
            marks.append(mark_answer(source, task, answer, sandbox, seeds[name]))
    sandbox.next_submission()
    return marks


def mark_answer(
    source: Source, task: Task, answer: tuple[str, ...], sandbox: Sandbox, seed: int
) -> TaskMarks:
    """Marks for one answer."""
    hidden = source.exercise.hidden.get(task.name, ())
    if not answer:
        return _nothing(task, hidden, GONE, started=False)
    called = sorted({name for cell in answer for name in _forbidden(cell, source, task)})
    if called:
        names = ", ".join(f"`{name}`" for name in called)
        return _nothing(task, hidden, f"Your answer uses {names}. The task is to write it yourself.")
    outcome = sandbox.run(Job(source.exercise.slug, task.name, source.setup, answer, seed))
    log, seconds, stopped = outcome.log, outcome.seconds, outcome.stopped
    if outcome.outcome != "replied":
        why = WHY.get(outcome.outcome, WHY["died"]).format(seconds=seconds)
        return _nothing(task, hidden, why, log=log, seconds=seconds, look=outcome.outcome)
    visible_marks = tuple(judge(task.criteria, outcome.reply, seed))
    hidden_marks = tuple(judge(hidden, outcome.reply, seed))
    return TaskMarks(
        task.name, task.points, visible_marks, hidden_marks, "", stopped, log, seconds, _odd(outcome)
    )


def _odd(outcome: Outcome) -> str:
    """A reply that no probe writes: the answer broke the probe, or tried to speak in its place."""
    reply = outcome.reply
    fair = isinstance(reply, dict) and bool({"data", "missing", "failed"} & reply.keys())
    return "" if fair else "the reply could not be read: was it forged?"


def _forbidden(cell: str, source: Source, task: Task) -> list[str]:
    try:
        return forbidden_in(cell, (*ALWAYS, *task.forbidden), context="\n".join(source.setup))
    except (RecursionError, MemoryError):  # a source made to break whoever reads it; the sandbox will tell
        return []


def _nothing(
    task: Task,
    hidden: tuple[Criterion, ...],
    trouble: str,
    *,
    started: bool = True,
    log: str = "",
    seconds: float = 0.0,
    look: str = "",
) -> TaskMarks:
    def none(criteria: tuple[Criterion, ...]) -> tuple[Mark, ...]:
        return tuple(Mark(c.name, c.points, False, trouble, started, judged=False) for c in criteria)

    return TaskMarks(
        task.name, task.points, none(task.criteria), none(hidden), trouble, "", log, seconds, look
    )
