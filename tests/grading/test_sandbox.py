"""Answers that do harm or cheat: each gets what it deserves, in time, and the next one is graded as ever."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coursekit.grading import worker
from coursekit.grading.marking import load_source, mark_answer
from coursekit.grading.sandbox import Job, Limits, NoSandbox, Sandbox
from grading.hostile import BAD, GOOD, HOSTILE

SOLUTIONS = Path(__file__).parents[2] / "solutions"
SOURCE = load_source(SOLUTIONS, "02_vae")
KL = SOURCE.exercise.tasks["kl"]

pytestmark = pytest.mark.skipif(
    shutil.which("bwrap") is None and "CI" not in os.environ, reason="bubblewrap is not installed (bwrap)"
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SOLUTIONS / "checks", ("02_vae",), Limits(seconds=2, wall=15)) as sandbox:
        yield sandbox


def job(source: str) -> Job:
    return Job("02_vae", "kl", SOURCE.setup, (source,), seed=5)


@pytest.mark.parametrize(
    ("status", "seconds", "cause"),
    [
        (signal.SIGXCPU, 1.72, "late"),  # as ticks have it, two
        (signal.SIGKILL, 2.6, "late"),  # who did not listen to SIGXCPU
        (signal.SIGKILL, 0.3, "killed"),
        (signal.SIGSEGV, 2.6, "crashed"),
        (0, 2.6, "ended"),
    ],
)
def test_an_answer_without_a_reply_is_told_why(status: int, seconds: float, cause: str) -> None:
    assert worker._cause(status, seconds, {"seconds": 2}) == cause


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answer(sandbox: Sandbox, name: str) -> None:
    case = HOSTILE[name]
    began = time.monotonic()
    marks = mark_answer(SOURCE, KL, (case.source,), sandbox, 5)
    assert time.monotonic() - began < 40
    assert (marks.got == marks.possible) == case.full, marks
    if not case.full:
        assert marks.got <= 2, marks  # a criterion that a wrong value may meet: shape, gradient
    if case.outcome != "any":
        assert (marks.look or "replied") == case.outcome, marks
    assert case.stopped in marks.stopped
    assert len(marks.log) < 20_000
    after = mark_answer(SOURCE, KL, (GOOD,), sandbox, 5)
    assert after.got == after.possible, after
    assert after.log == ""  # nor does torch itself say anything in a cell


@pytest.mark.slow
def test_what_an_answer_sees(sandbox: Sandbox) -> None:
    look = (
        "import os\n"
        "def listing(place):\n"
        "    try:\n"
        "        return sorted(os.listdir(place))\n"
        "    except OSError:\n"
        "        return []\n"
        "def walk():\n"
        "    found = []\n"
        "    for top in ('/', '/grader', '/home', '/scratch', '/proc', '/dev/shm', '/mnt', '/srv'):\n"
        "        found += [f'{top}:{name}' for name in listing(top)]\n"
        "    return found\n"
        "def kl(mu, logvar):\n"
        "    return [*walk(), *(f'env:{k}={v}' for k, v in os.environ.items())]\n"
    )
    reply = sandbox.run(job(look)).reply
    seen = [item["value"] for item in reply["data"]["random"]["value"]["items"]]
    assert {"/grader:checks", "/grader:coursekit"} == {s for s in seen if s.startswith("/grader:")}
    for empty in ("/scratch:", "/proc:", "/dev/shm:", "/home:"):
        assert not [s for s in seen if s.startswith(empty)], seen
    names = {s.removeprefix("env:").split("=")[0] for s in seen if s.startswith("env:")}
    allowed = {
        "PATH", "HOME", "TMPDIR", "LANG", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PWD", "LC_CTYPE",
        "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "MPLBACKEND", "KMP_INIT_AT_FORK", "KMP_DUPLICATE_LIB_OK",
        "TORCHINDUCTOR_CACHE_DIR",  # torch sets it itself
    }  # fmt: skip
    assert names <= allowed, names - allowed


@pytest.mark.slow
def test_an_answer_has_no_privilege(sandbox: Sandbox) -> None:
    """Nor has a program that it starts: a user 0 without capabilities is like any other user."""
    read = (
        "import ctypes\n"
        "held, libc = (ctypes.c_uint32 * 6)(), ctypes.CDLL(None)\n"
        "libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), held)\n"
        "print(*held, *(libc.prctl(23, bit) for bit in range(38)))"
    )
    look = (
        "import os, subprocess, sys\n"
        "def kl(mu, logvar):\n"
        f"    program = [sys.executable, '-S', '-E', '-c', {read!r}]\n"
        "    done = subprocess.run(program, capture_output=True, text=True)\n"
        "    return [os.getuid(), done.stdout, done.stderr]\n"
    )
    items = sandbox.run(job(look)).reply["data"]["random"]["value"]["items"]
    uid, held, complaints = (item["value"] for item in items)
    assert complaints == ""
    assert held.split() == ["0"] * 44, held
    assert uid != 0 or os.geteuid() != 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="this is an ordinary user already")
def test_all_of_it_holds_as_an_ordinary_user() -> None:
    """These tests again, by a user without privileges who may read the same files."""
    ordinary = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run([*ordinary, *tests], capture_output=True, text=True, cwd=SOLUTIONS.parent)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert re.search(r"\d{2,} passed, 1 skipped in", done.stdout), done.stdout[-500:]


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        SOLUTIONS / "02_vae.py",
        SOLUTIONS / "checks" / "02_vae" / "hidden.py",
        SOLUTIONS / "checks" / "02_vae" / "answers.py",
        SOLUTIONS.parent / "lib" / "dgm" / "__init__.py",
        Path("/etc/passwd"),
    ],
    ids=lambda p: p.name,
)
def test_nothing_secret_can_be_read(sandbox: Sandbox, place: Path) -> None:
    assert place.is_file()
    outcome = sandbox.run(job(f"open({str(place)!r}).read()"))
    assert "FileNotFoundError" in outcome.stopped
    beside = sandbox.run(job("open('/grader/checks/02_vae/hidden.py').read()"))
    assert "FileNotFoundError" in beside.stopped


@pytest.mark.slow
def test_answers_leave_nothing_behind(sandbox: Sandbox) -> None:
    first = "open('/scratch/note', 'w').write('x')\nopen('/dev/shm/note', 'w').write('x')\ntorch.note = 1"
    assert sandbox.run(job(first)).stopped == ""
    second = (
        "import os\nassert not os.path.exists('/scratch/note')\nassert not os.path.exists('/dev/shm/note')"
    )
    assert sandbox.run(job(second + "\nassert not hasattr(torch, 'note')")).stopped == ""


@pytest.mark.slow
def test_the_mark_does_not_depend_on_what_came_before(sandbox: Sandbox) -> None:
    wrong = mark_answer(SOURCE, KL, (BAD,), sandbox, 5)
    right = mark_answer(SOURCE, KL, (GOOD,), sandbox, 5)
    assert (wrong.got, right.got) == (mark_answer(SOURCE, KL, (BAD,), sandbox, 5).got, KL.points)
    assert wrong.got < KL.points


@pytest.mark.slow
def test_cells_are_apart_here(sandbox: Sandbox) -> None:
    """Otherwise every submission costs a new sandbox; a machine that runs these tests can do better."""
    sandbox.run(job(GOOD))
    assert sandbox.how == "namespaces"
    assert 0 < sandbox.memory < 1 << 30


def test_without_bubblewrap_it_refuses_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(NoSandbox, match=r"(?s)bubblewrap is not installed.*apt install.*--unsafe"):
        Sandbox(SOLUTIONS / "checks", ("02_vae",)).run(job(GOOD))
