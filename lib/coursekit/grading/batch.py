"""Grade a whole batch: what is to be done, in which order, and what is done already.

`plan` reads every file and says what is to be graded; `grade_one` grades one submission, wherever it runs;
`run_here` does it on this machine, one sandbox for each job, and hands over each record as it is ready.
"""

from __future__ import annotations

import os
import queue
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from coursekit.grading.collect import Found, Left, collect
from coursekit.grading.marking import Source, mark_submission, seed_of
from coursekit.grading.records import Record
from coursekit.grading.sandbox import Limits, NoSandbox, Sandbox
from coursekit.grading.submission import Submission, read_submission


@dataclass(frozen=True)
class Unit:
    """One submission of one student to one exercise, ready to be graded.

    Args:
        blank: its record before it is graded: who, which file, notes, key.
        submission: the answers.
        seeds: task -> seed of its inputs.
        only: tasks to grade; none: all.
    """

    blank: Record
    submission: Submission
    seeds: Mapping[str, int]
    only: tuple[str, ...] = ()


def plan(
    path: Path, sources: Mapping[str, Source], secret: str, exercise: str = ""
) -> tuple[list[Unit], list[Left]]:
    """Everything to be graded, one unit for each student and exercise, and what was left out.

    Args:
        path: a folder, a zip, or one file.
        sources: slug -> exercise.
        secret: that the seeds of the students' inputs depend on.
        exercise: the slug that every file belongs to; "": each file says which.
    """
    names = {slug: source.names for slug, source in sources.items()}
    found, left = collect(path, list(sources))
    chosen: dict[tuple[str, str], tuple[Found, Submission, bytes]] = {}
    for file in found:
        submission, data = _read(file, names, exercise)
        if not submission.slug and not submission.problem:
            continue
        key = (file.student, submission.slug)
        if key in chosen:
            older, newer = sorted(
                (chosen[key], (file, submission, data)),
                key=lambda item: (not item[1].problem, item[0].attempt, item[0].modified, item[0].place),
            )
            left.append(Left(older[0].place, f"{newer[0].place} is newer, or the better copy"))
            chosen[key] = newer
        else:
            chosen[key] = (file, submission, data)
    # A file that no exercise could be made out of does not matter beside one that is graded.
    graded = {student for student, slug in chosen if slug}
    for student, slug in [k for k in chosen if not k[1] and k[0] in graded]:
        file, submission, _ = chosen.pop((student, slug))
        left.append(Left(file.place, submission.problem))
    units = [_unit(*item, sources, secret) for _, item in sorted(chosen.items())]
    return units, left


def _read(
    file: Found, names: Mapping[str, Mapping[str, tuple[str, ...]]], exercise: str
) -> tuple[Submission, bytes]:
    known = {exercise: names[exercise]} if exercise else names
    try:
        data = file.read()
    except Exception as error:  # a broken zip, a file that vanished or may not be read
        return Submission(problem=f"the file cannot be read: {error}", slug=exercise), b""
    try:
        submission = read_submission(data, file.file, known)
    except Exception as error:  # one file must never stop a batch
        submission = Submission(problem=f"the file cannot be read: {type(error).__name__}")
    if not submission.slug and len(known) == 1:
        submission = replace(submission, slug=next(iter(known)))
    return submission, data


def _unit(
    file: Found, submission: Submission, data: bytes, sources: Mapping[str, Source], secret: str
) -> Unit:
    source = sources.get(submission.slug)
    tasks = source.names if source else {}
    seeds = {task: seed_of(file.student, submission.slug, task, secret) for task in tasks}
    digest = sha256(data)
    digest.update(f"\0{source.version if source else ''}\0{sorted(seeds.items())}".encode())
    blank = Record(
        file.student,
        file.name,
        file.number,
        file.system,
        submission.slug,
        file.place,
        file.late,
        digest.hexdigest(),
        notes=submission.notes,
        problem=submission.problem,
        answers=submission.answers,
    )
    return Unit(blank, submission, seeds)


def grade_one(unit: Unit, source: Source | None, sandbox: Sandbox) -> Record:
    """Grade one submission; an error of the grader's own ends in the record, not in the batch.

    Raises:
        NoSandbox: there is no sandbox, so that nothing can be graded.
    """
    if source is None:
        return unit.blank
    began = time.monotonic()
    try:
        marks = mark_submission(source, unit.submission, sandbox, unit.seeds, unit.only)
        return replace(unit.blank, tasks=tuple(marks), elapsed=round(time.monotonic() - began, 4))
    except NoSandbox:
        raise
    except Exception:
        sandbox.close()
        problem = f"the grader failed: {traceback.format_exc(limit=-3)}"
        return replace(unit.blank, problem=problem, failed=True)


def free_slot(number: int) -> int:
    """A slot for the sandbox of this process's job `number`, most likely of no other process."""
    return os.getpid() % 600 * 8 + number % 8


def run_here(
    units: Sequence[Unit],
    sources: Mapping[str, Source],
    checks: Path,
    *,
    jobs: int,
    limits: Limits,
    unsafe: bool,
) -> Iterator[Record]:
    """Grade on this machine with so many sandboxes side by side; yields each record as it is ready.

    Raises:
        NoSandbox: bubblewrap is missing or may not work here.
    """
    slugs = tuple(sorted({unit.blank.slug for unit in units} & sources.keys()))
    jobs = max(1, min(jobs, len(units)))
    idle: queue.Queue[Sandbox] = queue.Queue()
    boxes = [Sandbox(checks, slugs, limits, unsafe=unsafe, slot=free_slot(i)) for i in range(jobs)]
    for box in boxes:
        idle.put(box)

    def grade(unit: Unit) -> Record:
        box = idle.get()
        try:
            return grade_one(unit, sources.get(unit.blank.slug), box)
        finally:
            idle.put(box)

    try:
        yield from _each(grade, units, jobs)
    finally:
        for box in boxes:
            box.close()


def _each(grade: Callable[[Unit], Record], units: Sequence[Unit], jobs: int) -> Iterator[Record]:
    waiting = iter(units)
    with ThreadPoolExecutor(jobs) as pool:
        running: set[Future[Record]] = set()
        try:
            while True:
                while len(running) < jobs and (unit := next(waiting, None)):
                    running.add(pool.submit(grade, unit))
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
