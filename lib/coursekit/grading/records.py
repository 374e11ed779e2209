"""What is known of every submission, one JSON file each, so that a run can be resumed and its tables redrawn.

A record is complete in itself: marks, what the student may read, what only the instructor may, and the key
that tells whether it is still true.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from coursekit.authoring.notebooks import write_atomically
from coursekit.exercises.task import Mark
from coursekit.grading.collect import safe_name
from coursekit.grading.marking import TaskMarks

FOLDER = "records"


@dataclass(frozen=True)
class Record:
    """One student's marks in one exercise.

    Args:
        student: what tells students apart.
        name: to be shown.
        number: in the LMS; "".
        system: "canvas", "moodle" or "".
        slug: of the exercise; "" where it could not be told.
        place: of the file that was graded.
        late: whether it came late.
        key: digest of the file, the exercise and the seed; a record with another key is out of date.
        tasks: marks, in the exercise's order.
        notes: for the instructor.
        problem: why nothing could be read; "".
        failed: the grader itself failed: nothing here counts, and the next run tries again.
        answers: task -> sources that were graded.
        elapsed: seconds on the clock that it took.
    """

    student: str
    name: str
    number: str
    system: str
    slug: str
    place: str
    late: bool
    key: str
    tasks: tuple[TaskMarks, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    failed: bool = False
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    elapsed: float = 0.0

    @property
    def got(self) -> int:
        return sum(marks.got for marks in self.tasks)

    @property
    def looks(self) -> list[str]:
        """Why an instructor should look at this submission."""
        found = [self.problem] if self.problem else []
        found += [f"{marks.task}: {marks.look}" for marks in self.tasks if marks.look]
        return [*found, *self.notes, *(["handed in late"] if self.late else [])]


def to_json(record: Record) -> str:
    """The record as text that `from_json` reads."""
    return json.dumps(asdict(record), indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> Record:
    """The record in a text.

    Raises:
        ValueError: the text is no record.
    """
    try:
        data = json.loads(text)
        tasks = tuple(_task(item) for item in data.pop("tasks"))
        answers = {task: tuple(cells) for task, cells in data.pop("answers").items()}
        notes = tuple(data.pop("notes"))
        return Record(**data, tasks=tasks, notes=notes, answers=answers)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a record: {error}") from error


def _task(data: dict[str, Any]) -> TaskMarks:
    known = {f.name for f in fields(TaskMarks)} - {"visible", "hidden"}
    visible, hidden = (tuple(Mark(**mark) for mark in data[part]) for part in ("visible", "hidden"))
    return TaskMarks(visible=visible, hidden=hidden, **{name: data[name] for name in known})


class Records:
    """The records of one output folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / FOLDER

    def path(self, student: str, slug: str) -> Path:
        return self.folder / (slug or "unknown") / f"{safe_name(student)}.json"

    def load(self, student: str, slug: str) -> Record | None:
        """The record, or None where there is none that can be read."""
        path = self.path(student, slug)
        try:
            return from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def save(self, record: Record) -> None:
        """Write a record whole or not at all."""
        path = self.path(record.student, record.slug)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_json(record))

    def all(self) -> list[Record]:
        """Every record that can be read, by exercise and name."""
        found = (self._read(path) for path in sorted(self.folder.glob("*/*.json")))
        return sorted((r for r in found if r), key=lambda r: (r.slug, r.name.casefold(), r.student))

    def forget(self, keep: Iterable[tuple[str, str]]) -> None:
        """Delete the records of submissions that are no longer there; `keep` holds (student, slug)."""
        wanted = {self.path(student, slug) for student, slug in keep}
        for path in self.folder.glob("*/*.json"):
            if path not in wanted:
                path.unlink()

    def _read(self, path: Path) -> Record | None:
        try:
            return from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
