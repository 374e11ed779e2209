"""`dgm-grade submissions/ --out results/`: grade all that was handed in, in one command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from coursekit.authoring.generate import slugs as known_slugs
from coursekit.authoring.notebooks import write_atomically
from coursekit.grading.batch import Unit, plan, run_here
from coursekit.grading.collect import Left, NothingThere
from coursekit.grading.marking import Source, load_source
from coursekit.grading.records import Record, Records
from coursekit.grading.sandbox import Limits, NoSandbox
from coursekit.grading.tables import canvas_table, marks_table, moodle_table

DONE, NOTHING, STOPPED = 0, 2, 130
NO_SECRET = "dgm-course"


def options_of(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="dgm-grade",
        description="Grade notebooks or percent scripts: a folder per student, a file per student, or the "
        "zip that Canvas or Moodle exports. Every answer runs in a sandbox of its own. What is graded and "
        "has not changed since is kept, so that an interrupted run goes on where it stopped.",
    )
    parser.add_argument("submissions", type=Path, help="folder, zip, or one file")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables, reports and records")
    parser.add_argument(
        "--exercise", default="", metavar="SLUG", help="of every file (default: each file says)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="sandboxes at work (default: cores)"
    )
    parser.add_argument(
        "--student", action="append", default=[], help="grade this student again (repeatable)"
    )
    parser.add_argument("--task", action="append", default=[], help="grade this task again (repeatable)")
    parser.add_argument("--again", action="store_true", help="grade everything again")
    parser.add_argument(
        "--secret",
        default=os.environ.get("DGM_GRADE_SECRET", NO_SECRET),
        help="that students' inputs are drawn from (default: $DGM_GRADE_SECRET, or a public one)",
    )
    parser.add_argument("--seconds", type=int, default=Limits.seconds, help="CPU-seconds for one answer")
    parser.add_argument("--memory", type=float, default=Limits.memory / 2**30, help="GiB for one answer")
    parser.add_argument("--unsafe", action="store_true", help="no sandbox: only for code that you trust")
    parser.add_argument(
        "--scheduler", default="", help="grade as tasks of Dask: tcp://HOST:PORT, or local for a cluster here"
    )
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="folder with solutions/ (default: this one)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    if options.jobs < 1 or options.seconds < 1 or options.memory <= 0:
        parser.error("--jobs, --seconds and --memory must be positive")
    known = known_slugs(options.root / "solutions")
    if not known:
        parser.error(
            f"no solutions/ with exercises in {options.root}: run this in the course's folder, or --root"
        )
    if options.exercise and options.exercise not in known:
        parser.error(f"no exercise {options.exercise}; there are {', '.join(known)}")
    options.slugs = known
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade, and write tables and reports; 0 when all is graded, 2 when nothing could be."""
    options = options_of(arguments)
    solutions = options.root / "solutions"
    sources = {slug: load_source(solutions, slug) for slug in options.slugs}
    unknown = sorted(set(options.task) - {task for s in sources.values() for task in s.exercise.tasks})
    if unknown:
        print(f"dgm-grade: there is no task {unknown[0]}", file=sys.stderr)
        return NOTHING
    try:
        units, left = plan(options.submissions, sources, options.secret, options.exercise)
    except NothingThere as error:
        print(f"dgm-grade: {error}", file=sys.stderr)
        return NOTHING
    if not units:
        print(
            f"dgm-grade: nothing to grade in {options.submissions} ({len(left)} files left out)",
            file=sys.stderr,
        )
        return NOTHING
    records = Records(options.out)
    records.forget((unit.blank.student, unit.blank.slug) for unit in units)
    todo = [u for unit in units if (u := still_to_do(unit, records, options)) is not None]
    try:
        graded = _run(todo, sources, options)
        for record in tqdm(graded, total=len(todo), unit="submission", disable=options.quiet or not todo):
            records.save(merged(record, records))
    except NoSandbox as error:
        print(f"dgm-grade: {error}", file=sys.stderr)
        return NOTHING
    except KeyboardInterrupt:
        print("\ndgm-grade: stopped; what is graded is kept, the same command goes on", file=sys.stderr)
        return STOPPED
    write_results(options.out, records.all(), left, sources)
    _summary(records.all(), left, len(todo), options.out)
    return DONE


def _run(
    todo: Sequence[Unit], sources: Mapping[str, Source], options: argparse.Namespace
) -> Iterator[Record]:
    limits = Limits(seconds=options.seconds, memory=int(options.memory * 2**30))
    solutions = options.root / "solutions"
    if options.scheduler:
        from coursekit.grading.cluster import run_on_dask

        return run_on_dask(todo, solutions, options.scheduler, options.jobs, limits, unsafe=options.unsafe)
    return run_here(
        todo, sources, solutions / "checks", jobs=options.jobs, limits=limits, unsafe=options.unsafe
    )


def still_to_do(unit: Unit, records: Records, options: argparse.Namespace) -> Unit | None:
    """The unit, or those of its tasks that were asked for; None where its record is up to date."""
    blank = unit.blank
    old = records.load(blank.student, blank.slug)
    if old is None or old.failed or options.again or old.key != blank.key:
        return unit
    if options.student and not {blank.student, blank.name, blank.number} & set(options.student):
        return None
    if options.task:
        only = tuple(task for task in unit.seeds if task in options.task)
        return replace(unit, only=only) if only else None
    return unit if options.student else None


def merged(record: Record, records: Records) -> Record:
    """A record of some tasks, completed by the tasks of the one before."""
    old = records.load(record.student, record.slug)
    new = {marks.task for marks in record.tasks}
    if old is None or old.key != record.key or not new or record.failed:
        return record
    by_task = {marks.task: marks for marks in (*old.tasks, *record.tasks)}
    return replace(record, tasks=tuple(by_task.values()))


def write_results(
    out: Path, records: Sequence[Record], left: Sequence[Left], sources: Mapping[str, Source]
) -> None:
    """Write the tables, the reports and the summary page."""
    from coursekit.grading.pages import write_pages

    write_atomically(out / "marks.csv", marks_table(records, sources))
    if any(record.system == "canvas" for record in records):
        write_atomically(out / "canvas.csv", canvas_table(records, sources))
    for slug in sorted({r.slug for r in records if r.system == "moodle" and r.slug in sources}):
        write_atomically(out / f"moodle-{slug}.csv", moodle_table(records, sources, slug))
    write_pages(out, records, left, sources)


def _summary(records: Sequence[Record], left: Sequence[Left], done: int, out: Path) -> None:
    looks = sum(bool(record.looks) for record in records)
    print(f"{len(records)} submissions, {done} graded now, {looks} need a look, {len(left)} files left out")
    print(f"marks: {out / 'marks.csv'}; reports: {out / 'index.html'}")


if __name__ == "__main__":
    sys.exit(main())
