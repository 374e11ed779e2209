"""The same grading on several machines: every submission is a task of Dask.

A worker of Dask gets the exercise's files and one submission, and keeps its sandbox between tasks. One that
dies takes nothing along: Dask gives its tasks to the others, and a record is written once, by the grader.
The machines need this package and bubblewrap; solutions travel to them, so they must be the instructor's.
"""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coursekit.grading.batch import Unit, free_slot, grade_one
from coursekit.grading.marking import Source, load_source
from coursekit.grading.records import Record, from_json, to_json
from coursekit.grading.sandbox import Limits, NoSandbox, Sandbox
from coursekit.grading.submission import Submission

RETRIES = 3  # workers that one submission may lose before it is reported instead of graded
INSTALL = "grading on several machines needs Dask: pip install distributed"


@dataclass(frozen=True)
class Parcel:
    """The files of one exercise, as a worker elsewhere needs them: path below solutions/ -> text."""

    slug: str
    files: tuple[tuple[str, str], ...]

    @classmethod
    def pack(cls, solutions: Path, slug: str) -> Parcel:
        names = [f"{slug}.py", *(f"checks/{slug}/{name}.py" for name in ("probes", "visible", "hidden"))]
        there = [name for name in names if (solutions / name).is_file()]
        return cls(slug, tuple((name, (solutions / name).read_text(encoding="utf-8")) for name in there))

    def unpack(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="dgm-grade-"))
        for name, text in self.files:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder


class _Bench:
    """What a worker keeps between tasks: one exercise unpacked, and its sandbox."""

    def __init__(self, parcel: Parcel, limits: Limits, unsafe: bool) -> None:
        self.what = (parcel, limits, unsafe)
        solutions = parcel.unpack()
        self.source: Source = load_source(solutions, parcel.slug)
        self.sandbox = Sandbox(solutions / "checks", (parcel.slug,), limits, unsafe=unsafe, slot=free_slot(0))


_benches: dict[str, _Bench] = {}


def grade_parcel(unit: dict[str, Any], parcel: Parcel | None, limits: Limits, unsafe: bool) -> str:
    """Grade one submission on a worker: plain data in, a record as text out."""
    todo = _unit(unit)
    if parcel is None:
        return to_json(todo.blank)
    bench = _benches.get(parcel.slug)
    if bench is None or bench.what != (parcel, limits, unsafe):
        if bench:
            bench.sandbox.close()
        bench = _benches[parcel.slug] = _Bench(parcel, limits, unsafe)
        atexit.register(bench.sandbox.close)
    return to_json(grade_one(todo, bench.source, bench.sandbox))


def _plain(unit: Unit) -> dict[str, Any]:
    submission = unit.submission
    return {
        "blank": to_json(unit.blank),
        "slug": submission.slug,
        "answers": {task: list(cells) for task, cells in submission.answers.items()},
        "seeds": dict(unit.seeds),
        "only": list(unit.only),
    }


def _unit(plain: dict[str, Any]) -> Unit:
    answers = {task: tuple(cells) for task, cells in plain["answers"].items()}
    blank = from_json(plain["blank"])
    return Unit(blank, Submission(plain["slug"], answers), plain["seeds"], tuple(plain["only"]))


def run_on_dask(
    units: Sequence[Unit], solutions: Path, scheduler: str, jobs: int, limits: Limits, *, unsafe: bool
) -> Iterator[Record]:
    """Grade as tasks of a scheduler (`tcp://host:port`), or of a local cluster of `jobs` workers ("local").

    Raises:
        NoSandbox: Dask is not installed, the scheduler cannot be reached, or a worker has no sandbox.
    """
    try:
        from distributed import Client, KilledWorker, LocalCluster, as_completed
    except ImportError as error:
        raise NoSandbox(INSTALL) from error
    parcels = {slug: Parcel.pack(solutions, slug) for slug in {u.blank.slug for u in units if u.blank.slug}}
    cluster = None
    if scheduler == "local":
        cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
    try:
        client = Client(cluster if cluster is not None else scheduler, timeout="20s")
    except (OSError, TimeoutError, ValueError) as error:
        raise NoSandbox(f"no scheduler of Dask answers at {scheduler}: {error}") from error
    try:
        sent = {slug: client.scatter(parcel, broadcast=True) for slug, parcel in parcels.items()}
        futures = {}
        for i, unit in enumerate(units):
            parcel = sent.get(unit.blank.slug) if unit.seeds else None
            future = client.submit(
                grade_parcel,
                _plain(unit),
                parcel,
                limits,
                unsafe,
                pure=False,
                retries=RETRIES,
                key=f"grade-{i}",
            )
            futures[future.key] = (future, unit)
        for future in as_completed([future for future, _ in futures.values()]):
            unit = futures.pop(future.key)[1]
            try:
                yield from_json(future.result())
            except NoSandbox:
                raise
            except KilledWorker as error:
                yield replace(unit.blank, problem=f"workers died over it: {error}", failed=True)
    finally:
        client.close()
        if cluster is not None:
            cluster.close()
