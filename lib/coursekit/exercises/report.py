"""What a student sees: results, hints and progress, as HTML and as plain text, never by colour alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from coursekit.exercises.task import Exercise, Mark, Task

PASSED, PARTLY, NOT_YET, NOT_STARTED = "passed", "partly right", "not yet", "not started"
SYMBOLS = {PASSED: "✓", PARTLY: "◐", NOT_YET: "✗", NOT_STARTED: "○"}
_BOX = "border:1px solid currentColor;border-radius:4px;padding:.6em 1em;margin:.4em 0;max-width:48em"
_CELL = "text-align:left;padding:.15em .8em .15em 0;border:0"


@dataclass(frozen=True)
class Result:
    """The marks of one task on its visible criteria."""

    task: Task
    marks: tuple[Mark, ...]

    @property
    def got(self) -> int:
        return sum(mark.points for mark in self.marks if mark.passed)

    @property
    def state(self) -> str:
        if all(mark.passed for mark in self.marks):
            return PASSED
        if not any(mark.started for mark in self.marks):
            return NOT_STARTED
        return PARTLY if self.got else NOT_YET

    @property
    def hint(self) -> str:
        """Of the first criterion that failed: one thing at a time."""
        return next((mark.hint for mark in self.marks if not mark.passed), "")

    @property
    def rows(self) -> list[tuple[str, Mark]]:
        """Each mark with its verdict in words."""
        return [(verdict(mark), mark) for mark in self.marks]

    @property
    def headline(self) -> str:
        if self.state == NOT_STARTED:
            return f"{self.task.name}: {self.state} ({points(self.task.points)})"
        checked = points(self.task.visible_points)
        if self.task.points > self.task.visible_points:
            checked += " checked here"
        return f"{self.task.name}: {self.state}, {self.got} of {checked}"

    @property
    def note(self) -> str:
        rest = self.task.points - self.task.visible_points
        if self.state != PASSED or not rest:
            return ""
        return f"{points(rest)} more for harder inputs, tried only when this is graded."

    def __repr__(self) -> str:
        lines = [f"{SYMBOLS[self.state]} {self.headline}"]
        if self.state != NOT_STARTED:
            lines += [f"  {word:<13}  {m.criterion}" for word, m in self.rows]
        lines += [f"  {text.replace('`', '')}" for text in (self.hint, self.note) if text]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="{_CELL}">{word}</td>'
            f'<td style="{_CELL}">{rich(m.criterion)}</td><td style="{_CELL}">{points(m.points)}</td></tr>'
            for word, m in self.rows
        )
        head = "".join(f'<th scope="col" style="{_CELL}">{t}</th>' for t in ("Result", "Criterion", "Worth"))
        marks = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        return box(
            f"Result of {self.task.name}",
            f"<strong>{SYMBOLS[self.state]} {rich(self.headline)}</strong>",
            "" if self.state == NOT_STARTED else marks,
            paragraph(self.hint),
            paragraph(self.note),
        )


@dataclass(frozen=True)
class Note:
    """One sentence or two: a hint, or what went wrong with the call."""

    title: str
    text: str

    def __repr__(self) -> str:
        return f"{self.title}\n  {self.text.replace('`', '')}"

    def _repr_html_(self) -> str:
        return box(self.title, f"<strong>{rich(self.title)}</strong>", paragraph(self.text))


@dataclass(frozen=True)
class Progress:
    """All tasks of a notebook with the points so far."""

    exercise: Exercise
    results: Sequence[Result]
    hints_used: dict[str, int]

    @property
    def headline(self) -> str:
        got = sum(result.got for result in self.results)
        visible = sum(task.visible_points for task in self.exercise.tasks.values())
        done = sum(result.state == PASSED for result in self.results)
        tasks = f"{done} of {len(self.results)} tasks passed"
        return f"{self.exercise.slug}: {tasks}, {got} of {points(visible)} checked here"

    @property
    def note(self) -> str:
        rest = sum(task.points - task.visible_points for task in self.exercise.tasks.values())
        return f"{points(rest)} more for harder inputs, tried only when this is graded." if rest else ""

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                f"{SYMBOLS[r.state]} {r.state}",
                r.task.name,
                r.task.kind,
                f"{r.got} / {r.task.visible_points}",
                f"{self.hints_used.get(r.task.name, 0)} / {len(r.task.hints)}",
            )
            for r in self.results
        ]

    def __repr__(self) -> str:
        table = [("state", "task", "kind", "points", "hints used"), *self._rows()]
        widths = [max(len(row[i]) for row in table) for i in range(5)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        return "\n".join([self.headline, *lines, *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        names = ("State", "Task", "Kind", "Points", "Hints used")
        head = "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in names)
        rows = "".join(
            "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self._rows()
        )
        return box(
            "Progress",
            f"<strong>{escape(self.headline)}</strong>",
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>",
            paragraph(self.note),
        )


def verdict(mark: Mark) -> str:
    """A cross says that this criterion fails; where something else stands in the way there is none."""
    if mark.passed:
        return "✓ passed"
    if not mark.started:
        return "○ not started"
    return "✗ not yet" if mark.judged else "– not judged"


def points(number: int) -> str:
    return f"{number} point" if number == 1 else f"{number} points"


def rich(text: str) -> str:
    """Escaped text with `code` in backticks set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def paragraph(text: str) -> str:
    return f'<p style="margin:.4em 0">{rich(text)}</p>' if text else ""


def box(label: str, *parts: str) -> str:
    return f'<div role="group" aria-label="{escape(label, quote=True)}" style="{_BOX}">{"".join(parts)}</div>'
