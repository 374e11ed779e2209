"""The whole command: a folder of all sorts graded, resumed, regraded; one bad file never harms another."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coursekit.grading import batch, cli
from coursekit.grading.marking import load_source

ROOT = Path(__file__).parents[2]
SOLUTION, STUB = ROOT / "solutions" / "02_vae.ipynb", ROOT / "exercises" / "02_vae.ipynb"
POINTS = load_source(ROOT / "solutions", "02_vae").exercise.points

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("bwrap") is None and "CI" not in os.environ, reason="bubblewrap is not installed (bwrap)"
    ),
]


def folder_of_all_sorts(folder: Path) -> Path:
    """One student for each way to hand something in."""
    whole = SOLUTION.read_bytes()
    for student in ("alice", "-rf", "Zoë 学生", "=cmd"):
        (folder / student).mkdir(parents=True)
        (folder / student / "02_vae.ipynb").write_bytes(whole)
    for student, data in (
        ("stub", STUB.read_bytes()),
        ("cut", whole[: len(whole) // 2]),
        ("empty", b""),
        ("image", b"\x89PNG\r\n\x1a\n" * 100),
        ("large", json.dumps({"cells": [], "x": "0" * 50_000_000}).encode()),
    ):
        (folder / f"{student}_02_vae.ipynb").write_bytes(data)
    partly = json.loads(whole)
    for cell in partly["cells"]:
        if "answer-kl" in cell["metadata"].get("tags", []):
            cell["source"] = "while True: pass"
        if "answer-iwae" in cell["metadata"].get("tags", []):
            cell["source"] = "import os; os._exit(1)"
    (folder / "partly_02_vae.ipynb").write_text(json.dumps(partly))
    (folder / "readme.txt").write_text("hello")
    (folder / "link_02_vae.ipynb").symlink_to(SOLUTION)
    return folder


def grade(folder: Path, out: Path, *more: str) -> int:
    return cli.main(
        [
            str(folder),
            "--out",
            str(out),
            "--root",
            str(ROOT),
            "--quiet",
            "--seconds",
            "3",
            "--jobs",
            "2",
            *more,
        ]
    )


def totals(out: Path) -> dict[str, int]:
    with (out / "marks.csv").open(newline="", encoding="utf-8") as file:
        return {row["student"].removeprefix("'"): int(row["total"]) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("batch")
    folder = folder_of_all_sorts(base / "subs")
    assert grade(folder, base / "out") == cli.DONE
    return folder, base / "out"


def test_each_gets_what_it_deserves(graded: tuple[Path, Path]) -> None:
    found = totals(graded[1])
    for student in ("alice", "-rf", "Zoë 学生", "=cmd"):
        assert found[student] == POINTS, student
    for student in ("stub", "cut", "empty", "image", "large"):
        assert found[student] == 0, student
    kl_and_iwae = 5 + 4
    assert found["partly"] == POINTS - kl_and_iwae
    assert "link" not in found


def test_what_needs_a_look_is_said(graded: tuple[Path, Path]) -> None:
    page = (graded[1] / "index.html").read_text()
    for words in (
        "ends in the middle",
        "the file is empty",
        "kl: late",
        "links are not followed",
        "readme.txt",
    ):
        assert words in page, words


def test_nothing_is_written_outside_the_output_folder(graded: tuple[Path, Path]) -> None:
    folder, out = graded
    assert {path.name for path in folder.parent.iterdir()} == {"subs", "out"}
    assert {path.name for path in out.iterdir()} == {"records", "students", "marks.csv", "index.html"}


def test_a_second_run_grades_nothing_and_says_the_same(
    graded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = graded
    before = (out / "marks.csv").read_bytes()
    assert grade(folder, out) == cli.DONE
    assert ", 0 graded now," in capsys.readouterr().out
    assert (out / "marks.csv").read_bytes() == before


def test_one_student_or_one_task_again(graded: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = graded
    before = (out / "marks.csv").read_bytes()
    assert grade(folder, out, "--student", "alice") == cli.DONE
    assert ", 1 graded now," in capsys.readouterr().out
    assert grade(folder, out, "--task", "kl", "--student", "partly") == cli.DONE
    assert ", 1 graded now," in capsys.readouterr().out
    assert (out / "marks.csv").read_bytes() == before


def test_a_changed_submission_is_graded_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "subs").mkdir()
    path = tmp_path / "subs" / "alice_02_vae.ipynb"
    path.write_bytes(STUB.read_bytes())
    grade(tmp_path / "subs", tmp_path / "out")
    assert totals(tmp_path / "out") == {"alice": 0}
    path.write_bytes(SOLUTION.read_bytes())
    grade(tmp_path / "subs", tmp_path / "out")
    assert totals(tmp_path / "out") == {"alice": POINTS}


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "subs").mkdir()
    for i in range(12):
        (tmp_path / "subs" / f"student{i:02}_02_vae.ipynb").write_bytes(SOLUTION.read_bytes())
    command = [sys.executable, "-m", "coursekit.grading.cli", str(tmp_path / "subs")]
    command += ["--out", str(tmp_path / "out"), "--root", str(ROOT), "--jobs", "1", "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    records = tmp_path / "out" / "records" / "02_vae"
    until = time.monotonic() + 120
    while time.monotonic() < until and len(list(records.glob("*.json"))) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == cli.STOPPED, said
    assert "the same command goes on" in said
    there = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 2 <= len(there) < 12
    assert grade(tmp_path / "subs", tmp_path / "out") == cli.DONE
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in there.items())
    assert set(totals(tmp_path / "out").values()) == {POINTS}


def test_an_error_of_the_grader_is_one_submissions_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "subs").mkdir()
    for name in ("alice", "bob"):
        (tmp_path / "subs" / f"{name}_02_vae.ipynb").write_bytes(SOLUTION.read_bytes())
    honest = batch.mark_submission

    def fails_once(*args: object, **kwargs: object) -> object:
        monkeypatch.setattr(batch, "mark_submission", honest)
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(batch, "mark_submission", fails_once)
    assert grade(tmp_path / "subs", tmp_path / "out", "--jobs", "1") == cli.DONE
    assert sorted(totals(tmp_path / "out").values()) == [0, POINTS]
    assert "a bug of ours" in (tmp_path / "out" / "index.html").read_text()
    assert grade(tmp_path / "subs", tmp_path / "out") == cli.DONE  # what failed is tried again
    assert set(totals(tmp_path / "out").values()) == {POINTS}


def test_it_says_what_it_cannot_find(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert grade(tmp_path / "gone", tmp_path / "out") == cli.NOTHING
    assert "there is no" in capsys.readouterr().err
    (tmp_path / "subs").mkdir()
    assert grade(tmp_path / "subs", tmp_path / "out") == cli.NOTHING
    assert "nothing to grade" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["x", "--out", "y", "--root", str(tmp_path)])
    assert "no solutions/" in capsys.readouterr().err


def test_two_workers_of_dask_one_of_which_is_killed(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    subs = tmp_path / "subs"
    subs.mkdir()
    for i in range(10):
        (subs / f"student{i:02}_02_vae.ipynb").write_bytes((SOLUTION if i % 2 else STUB).read_bytes())
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    try:
        command = [sys.executable, "-m", "coursekit.grading.cli", str(subs), "--out", str(tmp_path / "out")]
        command += ["--root", str(ROOT), "--quiet", "--scheduler", cluster.scheduler_address]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        records = tmp_path / "out" / "records" / "02_vae"
        until = time.monotonic() + 180
        while time.monotonic() < until and len(list(records.glob("*.json"))) < 2:
            time.sleep(0.05)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
        out, errors = process.communicate(timeout=300)
    finally:
        cluster.close()
    assert process.returncode == cli.DONE, errors
    assert "10 submissions, 10 graded now, 0 need a look" in out
    assert sorted(totals(tmp_path / "out").values()) == [0] * 5 + [POINTS] * 5
