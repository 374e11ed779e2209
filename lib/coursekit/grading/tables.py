"""The marks as CSV: one table for people, one that Canvas imports, one that Moodle imports."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from coursekit.grading.marking import Source
from coursekit.grading.records import Record

# A spreadsheet takes a cell that begins like this for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def neutral(text: str) -> str:
    """Text that no spreadsheet takes for a formula: one that begins like one gets an apostrophe in front.

    A name may hide the sign behind blanks, which spreadsheets drop.
    """
    return f"'{text}" if text.lstrip(" \u00a0\u3000\ufeff").startswith(_FORMULA) else text


def marks_table(records: Sequence[Record], sources: Mapping[str, Source]) -> str:
    """One row for each student, one column for each task; an empty cell where nothing was handed in."""
    slugs = sorted({record.slug for record in records if record.slug in sources})
    columns = [(slug, task) for slug in slugs for task in sources[slug].exercise.tasks]
    head = ["student", "name", "number", *(f"{slug}:{task}" for slug, task in columns)]
    head += [*(f"{slug}:total" for slug in slugs), "total", "possible", "late", "needs a look"]
    rows = [head]
    for student, mine in _by_student(records).items():
        of = {record.slug: record for record in mine}
        first = mine[0]
        row = [neutral(student), neutral(first.name), neutral(first.number)]
        row += [_points(of.get(slug), task) for slug, task in columns]
        row += [str(of[slug].got) if slug in of and not of[slug].failed else "" for slug in slugs]
        row += [str(sum(r.got for r in mine)), str(sum(sources[slug].exercise.points for slug in slugs))]
        row += [
            "late" if any(r.late for r in mine) else "",
            neutral("; ".join(x for r in mine for x in r.looks)),
        ]
        rows.append(row)
    return _text(rows)


def canvas_table(records: Sequence[Record], sources: Mapping[str, Source]) -> str:
    """The gradebook that Canvas imports: its five columns, one column for each exercise, points possible.

    Rows without a Canvas number are left out: Canvas would not know whose they are.
    """
    slugs = sorted({record.slug for record in records if record.slug in sources})
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *slugs]]
    rows.append(["    Points Possible", "", "", "", "", *(str(sources[s].exercise.points) for s in slugs)])
    for mine in _by_student(records).values():
        of = {record.slug: record for record in mine}
        if mine[0].system == "canvas":
            grades = [str(of[s].got) if s in of and not of[s].failed else "" for s in slugs]
            rows.append([neutral(mine[0].name), mine[0].number, "", "", "", *grades])
    return _text(rows)


def moodle_table(records: Sequence[Record], sources: Mapping[str, Source], slug: str) -> str:
    """The grading worksheet of one assignment that Moodle imports: Identifier, Full name, Grade, feedback."""
    rows = [["Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments"]]
    most = str(sources[slug].exercise.points)
    for record in records:
        if record.slug == slug and record.system == "moodle" and not record.failed:
            told = "; ".join(f"{m.task}: {m.got} of {m.possible}" for m in record.tasks) or record.problem
            rows.append(
                [f"Participant {record.number}", neutral(record.name), str(record.got), most, neutral(told)]
            )
    return _text(rows)


def _by_student(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.name.casefold(), r.student, r.slug)):
        found.setdefault(record.student, []).append(record)
    return found


def _points(record: Record | None, task: str) -> str:
    if record is None or record.failed:
        return ""
    return str(next((marks.got for marks in record.tasks if marks.task == task), 0))


def _text(rows: Sequence[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerows(rows)
    return file.getvalue()
