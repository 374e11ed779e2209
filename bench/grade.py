"""How fast 200 submissions are graded, beside nbgrader on the same exercise: `python bench/grade.py`.

The exercise is 02_vae: six tasks with torch, no training. The submissions are solutions, stubs and named
wrong answers in turn. `dgm-grade`'s own batch runs with two jobs; a submission's seconds are those between
the moment a job takes it and its marks, the sandbox's start apart. nbgrader autogrades a few of the same
submissions, one after another as it does, with the same checks in its test cells; it runs students' code
beside them, without a sandbox. Seconds on the clock: a busy machine reads more on both sides.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
from common import Figure, need, table
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from coursekit.authoring.generate import student_notebook, tagged
from coursekit.grading.batch import plan, run_here
from coursekit.grading.marking import Source, load_source
from coursekit.grading.sandbox import Limits, Sandbox

ROOT = Path(__file__).resolve().parents[1]
SOLUTIONS, SLUG = ROOT / "solutions", "02_vae"
JOBS = 2


def answers(source: Source, i: int) -> dict[str, str]:
    """The answer cells of submission number i: a solution, a stub, or one wrong answer in it."""
    right = {task: "\n".join(cells) for task, cells in source.answers.items()}
    if i % 4 == 0:
        return right
    if i % 4 == 1:
        student = student_notebook(SOLUTIONS / f"{SLUG}.py")
        return {task: "\n".join(tagged(student, f"answer-{task}")) for task in right}
    tasks = list(right)
    task = tasks[i // 4 % len(tasks)]
    wrong = source.exercise.wrong[task]
    return {**right, task: wrong[i % len(wrong)].source}


def submission(source: Source, i: int) -> NotebookNode:
    """A notebook as a student hands it in."""
    cells = [new_code_cell(f'exercise("{SLUG}")')]
    for task, text in answers(source, i).items():
        cells.append(new_code_cell(text, metadata={"tags": [f"answer-{task}"]}))
    return new_notebook(cells=cells)


def ours(source: Source, count: int, folder: Path) -> tuple[list[float], float, float]:
    """Seconds of each submission, of the batch as a whole with its start, and MB of a worker."""
    for i in range(count):
        path = folder / f"student{i:03}_{SLUG}.ipynb"
        nbformat.write(submission(source, i), path)
    began = time.monotonic()
    units, _ = plan(folder, {SLUG: source}, "bench")
    checks = SOLUTIONS / "checks"
    records = list(run_here(units, {SLUG: source}, checks, jobs=JOBS, limits=Limits(), unsafe=False))
    whole = time.monotonic() - began
    full = sum(record.got == source.exercise.points for record in records)
    if len(records) != count or full != len(range(0, count, 4)):
        sys.exit(
            f"{full} of {len(records)} submissions got full marks: the marks are wrong, no time is of use"
        )
    with Sandbox(checks, (SLUG,)) as sandbox:
        sandbox.start()
        return [record.elapsed for record in records], whole, sandbox.memory / 1e6


TEST = """\
from pathlib import Path
from coursekit.exercises import assess, load_exercise
marks = assess(load_exercise(Path({checks!r})).tasks[{task!r}], globals(), seed=5).marks
assert all(mark.passed for mark in marks), marks"""


def nbgrader_notebook(source: Source, i: int) -> NotebookNode:
    """The same exercise for nbgrader: a cell for each answer, and a cell that tests it."""

    def meta(name: str, *, grade: bool, points: int = 0) -> dict[str, object]:
        kind = {"grade": grade, "solution": not grade, "locked": grade, "task": False}
        return {
            "nbgrader": {"schema_version": 3, "grade_id": name, "points": points, "cell_type": "code", **kind}
        }

    cells = [new_code_cell("\n".join(source.setup))]
    for task, text in answers(source, i).items():
        test = TEST.format(checks=str(SOLUTIONS / "checks" / SLUG), task=task)
        points = source.exercise.tasks[task].points
        cells.append(new_code_cell(text, metadata=meta(f"answer-{task}", grade=False)))
        cells.append(new_code_cell(test, metadata=meta(f"test-{task}", grade=True, points=points)))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return new_notebook(cells=cells, metadata=kernel)


def theirs(source: Source, count: int, course: Path) -> float:
    """Seconds a submission of `nbgrader autograde`, its own start taken off."""
    for place in (f"source/{SLUG}", *(f"submitted/student{i:03}/{SLUG}" for i in range(count))):
        (course / place).mkdir(parents=True)
    nbformat.write(nbgrader_notebook(source, 0), course / "source" / SLUG / f"{SLUG}.ipynb")
    for i in range(count):
        nbformat.write(
            nbgrader_notebook(source, i), course / "submitted" / f"student{i:03}" / SLUG / f"{SLUG}.ipynb"
        )
    options = [
        "--course-dir",
        str(course),
        "--CourseDirectory.db_url=sqlite:///" + str(course / "gradebook.db"),
    ]

    def run(*words: str) -> float:
        began = time.monotonic()
        command = [sys.executable, "-m", "nbgrader", *words, *options]
        # nbgrader calls alembic by its name, so it must be on the path.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=course, env=environment
        )
        if done.returncode:
            sys.exit(f"nbgrader {words[0]} failed: {done.stderr[-2000:]}")
        return time.monotonic() - began

    run("generate_assignment", SLUG, "--force")
    one = run("autograde", SLUG, "--student", "student000", "--force")
    return (run("autograde", SLUG, "--force") - one) / (count - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="submissions (default: 200)")
    parser.add_argument("--peer-count", type=int, default=9, help="of those, for nbgrader (default: 9)")
    parser.add_argument("--quick", action="store_true", help="few submissions, limits not judged")
    options = parser.parse_args()
    if options.quick:
        options.count, options.peer_count = 8, 3
    need("grade", ["nbgrader"], "make peers")
    if shutil.which("bwrap") is None:
        sys.exit("bubblewrap is not installed: nothing was measured")
    os.environ["OMP_NUM_THREADS"] = "1"
    source = load_source(SOLUTIONS, SLUG)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as course:
        each, whole, worker = ours(source, options.count, Path(folder))
        peer = theirs(source, options.peer_count, Path(course))
    median = statistics.median(each)
    figures = {
        "seconds_a_submission": Figure(each, "s", at_most=1.0, by_median=True),
        "seconds_of_all": Figure([whole], "s", at_most=180.0),
        "times_as_fast_as_nbgrader": Figure(
            [peer / (whole / options.count)], "times nbgrader's speed", at_least=10.0
        ),
    }
    print(f"{options.count} submissions of {SLUG}, {JOBS} jobs; aim .5 s a submission\n")
    rows = [
        ["dgm-grade, one submission", median, min(each), max(each)],
        ["nbgrader, one submission", peer, peer, peer],
    ]
    print(table(["seconds on the clock", "median", "least", "most"], rows))
    print(f"\nall of them, start included: {whole:.1f} s; a worker holds {worker:.0f} MB at its peak")
    missed = []
    for name, figure in figures.items():
        print(f"{name}: {figure.judged:.3g} {figure.unit} ({'ok' if figure.ok else 'MISSED'})")
        missed += [] if figure.ok else [name]
    line = {
        "bench": "grade",
        "quick": options.quick,
        "figures": {
            name: {k: v for k, v in figure.as_json().items() if k != "values"}
            for name, figure in figures.items()
        },
        "rows": [
            {
                "row": "times_as_fast_as_nbgrader",
                "dgm-grade_s": round(whole / options.count, 3),  # a submission's share of the whole batch
                "nbgrader_s": round(peer, 3),
                "worker_mb": round(worker),
                "jobs": JOBS,
            }
        ],
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in ("torch", "nbgrader")}},
    }
    print(json.dumps(line, allow_nan=False))
    sys.exit(1 if missed and not options.quick else 0)


if __name__ == "__main__":
    main()
