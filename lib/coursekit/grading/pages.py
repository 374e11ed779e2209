"""What is read: one HTML page for each student, one page over all of them.

Everything that came from a student is escaped, and a policy in each page forbids scripts altogether. A
student's page shows what the notebook's own checks show, and the points; of hidden checks only the points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from coursekit.authoring.generate import student_source
from coursekit.authoring.notebooks import write_atomically
from coursekit.exercises.report import points, rich, verdict
from coursekit.grading.collect import Left, safe_name
from coursekit.grading.marking import Source, TaskMarks
from coursekit.grading.records import Record
from coursekit.grading.similar import Pair, similar_pairs

_STYLE = """
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0; }
th, td { text-align: left; padding: .2rem 1rem .2rem 0; vertical-align: top; }
tr { border-bottom: 1px solid #8888; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { border: 1px solid #8888; padding: .5rem; white-space: pre-wrap; overflow-wrap: anywhere; }
section { margin: 2rem 0; }
.scroll { overflow-x: auto; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_pages(
    out: Path, records: Sequence[Record], left: Sequence[Left], sources: Mapping[str, Source]
) -> None:
    """Write `students/*.html` and `index.html`; pages of students who are gone are deleted."""
    folder = out / "students"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = set()
    for student in dict.fromkeys(record.student for record in records):
        mine = [record for record in records if record.student == student]
        path = folder / f"{safe_name(student)}.html"
        wanted.add(path)
        write_atomically(path, student_page(mine, sources))
    for path in folder.glob("*.html"):
        if path not in wanted:
            path.unlink()
    write_atomically(out / "index.html", summary_page(records, left, sources))


def student_page(records: Sequence[Record], sources: Mapping[str, Source]) -> str:
    """All exercises of one student."""
    name = records[0].name
    parts = [f"<h1>{escape(name)}</h1>"]
    for record in records:
        source = sources.get(record.slug)
        possible = source.exercise.points if source else 0
        title = f"{record.slug}: {record.got} of {points(possible)}" if source else "Not graded"
        parts.append(f"<h2>{escape(title)}</h2><p>File: {escape(record.place)}</p>")
        if record.failed:
            parts.append("<p>This submission could not be graded yet; your instructor knows of it.</p>")
        elif record.problem:
            parts.append(f"<p>{escape(record.problem[:1000])}</p>")
        if source and not record.failed:
            parts += [_task_section(marks, source) for marks in record.tasks]
    return _page(f"Marks of {name}", "".join(parts))


def _task_section(marks: TaskMarks, source: Source) -> str:
    task = source.exercise.tasks.get(marks.task)
    title = task.title if task else marks.task
    rows = "".join(
        f"<tr><td>{verdict(m)}</td><td>{rich(m.criterion)}</td>"
        f'<td class="n">{m.points if m.passed else 0} of {m.points}</td></tr>'
        for m in marks.visible
    )
    if marks.hidden:
        worth = sum(m.points for m in marks.hidden)
        got = sum(m.points for m in marks.hidden if m.passed)
        rows += f'<tr><td></td><td>Harder inputs</td><td class="n">{got} of {worth}</td></tr>'
    hint = marks.trouble or next((m.hint for m in marks.visible if not m.passed), "")
    stopped = (
        f"<p>The cell ended with an error: <code>{escape(marks.stopped)}</code></p>" if marks.stopped else ""
    )
    log = (
        f"<details><summary>What it printed</summary><pre>{escape(marks.log)}</pre></details>"
        if marks.log
        else ""
    )
    return (
        f"<section><h3>{escape(title)} <small>({marks.got} of {points(marks.possible)})</small></h3>"
        '<div class="scroll"><table><thead><tr><th scope="col">Result</th><th scope="col">Criterion</th>'
        f'<th scope="col" class="n">Points</th></tr></thead><tbody>{rows}</tbody></table></div>'
        f"{f'<p>{rich(hint)}</p>' if hint else ''}{stopped}{log}</section>"
    )


def summary_page(records: Sequence[Record], left: Sequence[Left], sources: Mapping[str, Source]) -> str:
    """Over all students: distribution, tasks most missed, what needs a look, equal answers, marks."""
    slugs = [slug for slug in sources if any(record.slug == slug for record in records)]
    parts = [
        f"<h1>Marks</h1><p>{len(records)} submissions, {len({r.student for r in records})} students.</p>"
    ]
    for slug in slugs:
        mine = [r for r in records if r.slug == slug and not r.failed]
        parts.append(f"<section><h2>{escape(slug)}</h2>{_distribution(mine, sources[slug])}")
        parts.append(_missed(mine, sources[slug]) + "</section>")
    parts.append(_looks(records))
    given = {slug: _given(sources[slug], slug) for slug in slugs}
    parts.append(_pairs(similar_pairs(records, given)))
    parts.append(_left(left))
    parts.append(_all(records, slugs, sources))
    return _page("Marks of all students", "".join(parts))


def _given(source: Source, slug: str) -> dict[str, list[str]]:
    return {
        task: [*cells, *(student_source(cell) for cell in cells)] for task, cells in source.answers.items()
    }


def _distribution(records: Sequence[Record], source: Source) -> str:
    """A histogram in ten bins of the share of points, as SVG, with its numbers as text."""
    if not records:
        return "<p>No submissions.</p>"
    most = max(source.exercise.points, 1)
    counts = Counter(min(10 * record.got // most, 9) for record in records)
    top, bars = max(counts.values()), []
    for i in range(10):
        height = 100 * counts[i] / top
        bars.append(
            f'<rect x="{40 + 36 * i}" y="{115 - height:.1f}" width="30" height="{height:.1f}" '
            'fill="#2a6fbb"/>'
            f'<text x="{55 + 36 * i}" y="{110 - height:.1f}" text-anchor="middle">{counts[i] or ""}</text>'
            f'<text x="{40 + 36 * i}" y="132" text-anchor="middle">{10 * i}</text>'
        )
    scores = sorted(record.got for record in records)
    middle = scores[len(scores) // 2] if len(scores) % 2 else sum(scores[len(scores) // 2 - 1 :][:2]) / 2
    words = f"median {middle:g} of {points(most)}, lowest {scores[0]}, highest {scores[-1]}"
    return (
        f'<svg viewBox="0 0 420 155" width="420" role="img" aria-label="Histogram of scores: {words}" '
        f'style="max-width:100%;font:11px sans-serif" fill="currentColor">{"".join(bars)}'
        '<text x="400" y="132" text-anchor="middle">100</text>'
        '<text x="220" y="150" text-anchor="middle">share of the points (%), number of submissions</text>'
        "</svg>"
        f"<p>{len(records)} submissions: {words}.</p>"
    )


def _missed(records: Sequence[Record], source: Source) -> str:
    rows = []
    for name, task in source.exercise.tasks.items():
        marks = [m for r in records for m in r.tasks if m.task == name]
        if marks:
            share = sum(m.got for m in marks) / (len(marks) * task.points)
            full = sum(m.got == m.possible for m in marks)
            hints = Counter(c.criterion for m in marks for c in m.visible if not c.passed)
            worst = f"{hints.most_common(1)[0][0]} ({hints.most_common(1)[0][1]})" if hints else ""
            rows.append((share, name, full, len(marks), worst))
    body = [
        [escape(name), f"{100 * share:.0f} %", f"{full} of {n}", escape(worst)]
        for share, name, full, n, worst in sorted(rows)
    ]
    head = ("Task, most missed first", "Mean share of points", "Full marks", "Criterion most often failed")
    return _table(head, body, numbers=(1, 2))


def _looks(records: Sequence[Record]) -> str:
    rows = [
        [_link(r), escape(r.slug or "?"), escape(r.place), "<br>".join(escape(x[:1000]) for x in r.looks)]
        for r in records
        if r.looks
    ]
    table = _table(("Student", "Exercise", "File", "Why"), rows) if rows else "<p>None.</p>"
    return f"<section><h2>Submissions that need a look</h2>{table}</section>"


def _pairs(pairs: Sequence[Pair]) -> str:
    rows = [
        [escape(" and ".join(p.students)), escape(p.slug), escape(", ".join(p.tasks)), f"{p.score:.0f}"]
        for p in pairs
    ]
    table = _table(("Students", "Exercise", "Equal answers", "Weight"), rows, numbers=(3,)) if rows else ""
    words = (
        "Answers equal but for comments and blanks, long enough to be telling, and not the model answer. "
        "Equal answers prove nothing by themselves."
    )
    return f"<section><h2>Equal answers</h2><p>{words}</p>{table or '<p>None.</p>'}</section>"


def _left(left: Sequence[Left]) -> str:
    rows = [[escape(item.place), escape(item.why)] for item in left[:1000]]
    table = _table(("File", "Why"), rows) if rows else "<p>None.</p>"
    return f"<section><h2>Files that were left out</h2>{table}</section>"


def _all(records: Sequence[Record], slugs: Sequence[str], sources: Mapping[str, Source]) -> str:
    rows = []
    for student in dict.fromkeys(r.student for r in sorted(records, key=lambda r: r.name.casefold())):
        of = {r.slug: r for r in records if r.student == student}
        rows.append([_link(next(iter(of.values()))), *(str(of[s].got) if s in of else "" for s in slugs)])
    head = ("Student", *(f"{s} (of {sources[s].exercise.points})" for s in slugs))
    return f"<section><h2>All students</h2>{_table(head, rows, numbers=range(1, len(head)))}</section>"


def _link(record: Record) -> str:
    return f'<a href="students/{safe_name(record.student)}.html">{escape(record.name)}</a>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of cells that are escaped already."""

    def of(i: int) -> str:
        return ' class="n"' if i in numbers else ""

    top = "".join(f'<th scope="col"{of(i)}>{escape(cell)}</th>' for i, cell in enumerate(head))
    body = "".join(
        f"<tr>{''.join(f'<td{of(i)}>{cell}</td>' for i, cell in enumerate(row))}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    )
