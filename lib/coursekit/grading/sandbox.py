"""The grader's side of the sandbox: start a worker in bubblewrap, hand it jobs, take what comes back.

Inside there is no network, nothing of this machine but the Python environment (read-only) and the probes,
no variable of the environment, and limits on time, memory, processes, files and disk. Solutions, hidden
checks, judges and other submissions are not mounted at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from coursekit.grading.frames import Broken, Late, read_frame, write_frame
from coursekit.grading.worker import FORKED, NONE, SCRATCH

PACKAGE = Path(__file__).parents[1]  # coursekit
FIRST_UID = 60_100  # of pupils where the grader is root: nobody's on an ordinary machine
START_SECONDS = 120  # to load torch on a machine that is busy
INSTALL = (
    "Strangers' code runs in a sandbox made by bubblewrap. Install it (Debian, Ubuntu: "
    "`apt install bubblewrap`; Fedora: `dnf install bubblewrap`), or, for code that you trust with all that "
    "is on this machine, add --unsafe."
)


class NoSandbox(Exception):
    """The sandbox cannot be had here; the message says what to install or to change."""


@dataclass(frozen=True)
class Limits:
    """What the code of one answer may use.

    Args:
        seconds: of CPU time.
        wall: seconds on the clock; more, as a machine may be busy.
        memory: bytes of address space of a process, and of private memory of all of them together.
        processes: and threads.
        disk: bytes of the scratch folder, and of one file.
        reply: bytes of what a probe may write down.
    """

    seconds: int = 20
    wall: float = 90.0
    memory: int = 4 << 30
    processes: int = 64
    disk: int = 64 << 20
    reply: int = 16 << 20


@dataclass(frozen=True)
class Job:
    """One answer to one task: the sources of the cells, and the seed of the inputs."""

    slug: str
    task: str
    setup: tuple[str, ...]
    answer: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a job; nothing in it can be trusted but `outcome` and `seconds`.

    Args:
        outcome: "replied", or why there is no reply: "late", "killed", "crashed", "ended", "died",
            "too much to say", "too much memory", "too many processes".
        reply: of `run_probe`, as the pupil wrote it down; None where there is none that can be read.
        stopped: the error that ended the answer cell, in words, or "".
        log: what the answer printed, cut to some kilobytes.
        seconds: of CPU time.
    """

    outcome: str
    reply: Any = None
    stopped: str = ""
    log: str = ""
    seconds: float = 0.0


class Sandbox:
    """A worker in its sandbox, started when the first job comes, and again when it has died.

    Args:
        checks: folder with `<slug>/probes.py`, for every slug that will be asked for.
        slugs: which of them the worker loads.
        limits: for every job.
        unsafe: run without a sandbox; only for code that is trusted.
        slot: a number that no other sandbox at work on this machine has, from 0 on.

    Raises:
        NoSandbox: at the first job, where bubblewrap is missing or may not work here.
    """

    def __init__(
        self,
        checks: Path,
        slugs: tuple[str, ...],
        limits: Limits | None = None,
        *,
        unsafe: bool = False,
        slot: int = 0,
    ) -> None:
        self.checks, self.slugs, self.limits = checks.resolve(), slugs, limits or Limits()
        self.unsafe, self.slot = unsafe, slot
        self.how = NONE
        self.memory = 0  # bytes of the worker once torch is loaded
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def run(self, job: Job) -> Outcome:
        """Run one job; a worker that dies over it is replaced, and the job counts as "died"."""
        if self._process is None:
            self.start()
        nonce = secrets.token_hex(16)
        message = {"nonce": nonce, **vars(job), **vars(self.limits)}
        try:
            write_frame(self._stdin, message)
            frame = read_frame(self._stdout, self.limits.wall + 20)
        except Late:
            self.close()
            return Outcome("late")
        except Broken:
            self.close()
            return Outcome("died")
        if frame.get("nonce") != nonce:
            self.close()
            return Outcome("died")
        return _outcome(frame, nonce)

    def next_submission(self) -> None:
        """To be called between two submissions: where cells are not apart, the worker is replaced."""
        if self.how == FORKED:
            self.close()

    def start(self) -> None:
        """Start the worker and wait until torch is loaded."""
        command = _worker_command(self)
        environment = _environment()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (a pipe that nobody reads would fill up)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            close_fds=True,
            start_new_session=True,
            cwd="/",
        )
        try:
            ready = read_frame(self._stdout, START_SECONDS)
            self.how, self.memory = str(ready["ready"]), int(ready["memory"])
        except (Broken, KeyError) as error:
            said = self.complaints()
            self.close()
            raise NoSandbox(f"the sandbox did not start: {said or error}\n{INSTALL}") from error

    def complaints(self) -> str:
        """The end of what bubblewrap and the worker wrote to standard error."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace").strip()[-1500:]

    def close(self) -> None:
        """End the worker and all that lives in its sandbox."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, self._errors):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._errors = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _stdin(self) -> int:
        assert self._process
        assert self._process.stdin
        return self._process.stdin.fileno()

    @property
    def _stdout(self) -> int:
        assert self._process
        assert self._process.stdout
        return self._process.stdout.fileno()


def _outcome(frame: dict[str, Any], nonce: str) -> Outcome:
    """Read a worker's frame: the reply in it is a stranger's text."""
    what, log = str(frame.get("outcome")), str(frame.get("log", ""))
    seconds = float(frame.get("seconds", 0.0))
    if what != "replied":
        return Outcome(what, log=log, seconds=seconds)
    try:
        said = json.loads(str(frame.get("reply")))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("nonce") != nonce:
        return Outcome("replied", log=log, seconds=seconds)
    return Outcome("replied", said.get("reply"), str(said.get("stopped", ""))[:1000], log, seconds)


def _environment() -> dict[str, str]:
    """All that a worker's environment holds."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
    }


def _worker_command(sandbox: Sandbox) -> list[str]:
    root = os.geteuid() == 0
    uid = FIRST_UID + sandbox.slot if root and not sandbox.unsafe else -1
    home, checks = ("/grader", "/grader/checks")
    if sandbox.unsafe:
        home, checks = str(PACKAGE.parent), str(sandbox.checks)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from coursekit.grading.worker import main; main()"
    )
    python = [sys.executable, "-E", "-s", "-c", program, home, checks, str(uid), str(int(not sandbox.unsafe))]
    return python if sandbox.unsafe else [*_bubblewrap(sandbox, root), *python]


def _bubblewrap(sandbox: Sandbox, root: bool) -> list[str]:
    if (bwrap := shutil.which("bwrap")) is None:
        raise NoSandbox(f"bubblewrap is not installed.\n{INSTALL}")
    command = [bwrap, "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    for name, value in _environment().items():
        command += ["--setenv", name, value]
    command += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    # To make cells; and, for root, to put pupils under a user of their own.
    needed = ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "KILL") if root else ("SYS_ADMIN", "SETPCAP")
    # An ordinary user is root in a user namespace of its own, which is nothing outside; under another number
    # bubblewrap would nest a second one, which may not come back to its process namespace.
    command += [] if root else ["--unshare-user", "--uid", "0", "--gid", "0"]
    for capability in needed:
        command += ["--cap-add", f"CAP_{capability}"]
    for place in ("/usr", "/lib", "/lib32", "/lib64", "/bin"):
        path = Path(place)
        if path.is_symlink():
            command += ["--symlink", os.readlink(path), place]
        elif path.is_dir():
            command += ["--ro-bind", place, place]
    command += ["--perms", "0755", "--dir", "/etc"]
    for place in ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime"):
        command += ["--ro-bind-try", place, place]
    command += ["--dev", "/dev", "--proc", "/proc"]
    command += ["--perms", "1777", "--size", str(sandbox.limits.disk), "--tmpfs", SCRATCH]
    binds = [(place, place) for place in _python_places()]
    binds += [(str(PACKAGE), "/grader/coursekit")]
    for slug in sandbox.slugs:
        binds += [(str(sandbox.checks / slug / "probes.py"), f"/grader/checks/{slug}/probes.py")]
    # bubblewrap makes the folders above for root alone; a pupil has to pass them.
    above = {folder for _, place in binds for folder in Path(place).parents} - {Path("/"), Path("/usr")}
    for folder in sorted(above):
        command += ["--perms", "0755", "--dir", str(folder)]
    for source, place in binds:
        command += ["--ro-bind", source, place]
    for packages in sorted({*site.getsitepackages(), sysconfig.get_path("purelib")}):
        if (Path(packages) / "dgm").is_dir():  # an answer that calls the library is none
            command += ["--tmpfs", str(Path(packages) / "dgm")]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def _python_places() -> list[str]:
    """The folders that this Python needs, none of them below another, nor below /usr."""
    executable = Path(sys.executable)
    places = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix)}
    while executable.is_symlink():  # .venv/bin/python -> ... -> the interpreter itself
        target = Path(os.readlink(executable))
        executable = target if target.is_absolute() else executable.parent / target
        places.add(executable.parents[1] if executable.parent.name == "bin" else executable.parent)
    # An environment may see the packages of another one; their folders, but not the course's own lib/.
    places |= {Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))}
    found = sorted({p.absolute() for p in places} | {p.resolve() for p in places})
    found = [p for p in found if not p.is_relative_to("/usr") and p.is_dir()]
    return [str(p) for p in found if not any(p != q and p.is_relative_to(q) for q in found)]
