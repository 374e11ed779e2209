"""What runs inside the sandbox: a process that has torch loaded, and forks for every answer.

Two generations, one trusted and one not:

- the *server* reads one job after another from the grader, forks a pupil for each, collects what comes out,
  and ends the pupil when it is done, late, or too large;
- the *pupil* is born into a process namespace of its own, makes the rest of the cell (empty scratch folder,
  no /proc), gives up every privilege, runs the setup and the answer, probes it, and writes down what came.

Nothing here knows a right answer. The server cannot be seen from the cell: it lives in another process
namespace. What the pupil writes is data that may be forged; the judge, outside, takes it as such. One fork
an answer and no more: a process that has torch loaded is large, and forking it is what costs the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import linecache
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from coursekit.grading.frames import Broken, read_frame, write_frame

NAMESPACES, FORKED, NONE = "namespaces", "forked", "none"  # how far a cell is apart from the next one
_NEWNS, _NEWIPC, _NEWPID = 0x20000, 0x8000000, 0x20000000
_PRIVATE, _NOSUID, _NODEV = 0x44000, 2, 4  # MS_REC | MS_PRIVATE
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS = 28, 38
_NO_ROOT = 0b11  # SECBIT_NOROOT, locked: a program that user 0 starts gets no capability for being user 0
SCRATCH = "/scratch"  # the one place where a pupil may write; not /tmp, which may hold the environment
POLL = 0.02  # seconds between two looks at the cell
LOG_HEAD, LOG_TAIL = 4_000, 6_000  # bytes of a pupil's own output that are kept
MISSING_LOG = b"\n[... %d bytes left out ...]\n"

_libc = ctypes.CDLL(None, use_errno=True)


def serve(checks: Path, uid: int | None, sandboxed: bool, requests: int = 0, replies: int = 1) -> None:
    """Read jobs and answer them, until the grader closes the pipe.

    Args:
        checks: folder with `<slug>/probes.py`.
        uid: of the pupils, where this process may choose one (root); None: its own.
        sandboxed: whether this process lives in a sandbox; if not, a pupil is no more than a process.
        requests: file descriptor of the jobs.
        replies: of the answers.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # no pupil may look into this process
    probes = _load(checks)
    gc.collect()
    gc.freeze()  # a pupil's collector would write to every object, and so copy every page
    how = NONE
    if sandboxed:
        how = NAMESPACES if _able(uid) else FORKED
    write_frame(replies, {"ready": how, "memory": _peak(), "probes": sorted(probes)})
    while True:
        try:
            job = read_frame(requests)
        except Broken:
            return
        try:
            answer = _supervise(job, probes, uid, how)
        except Exception:  # no answer may end the server: another pupil waits
            traceback.print_exc()
            answer = {"outcome": "died", "reply": "", "log": "", "seconds": 0.0}
        write_frame(replies, {"nonce": job["nonce"], **answer})


def _load(checks: Path) -> dict[str, Any]:
    """All probes, and whatever costs time to import; the pupils inherit it."""
    import numpy  # noqa: F401
    import torch
    import torch.distributions
    import torch.nn.functional

    from coursekit.exercises.task import load_probes

    torch.set_num_threads(1)
    torch.ones(1) + 1  # the first sum reads /proc/cpuinfo; in a cell, which has no /proc, it would complain
    folders = [folder for folder in sorted(checks.iterdir()) if folder.is_dir()]
    if any("optim" in (folder / "probes.py").read_text() for folder in folders):
        # The first optimiser of a process imports for seconds; it makes every fork dearer by a fifth, too.
        weight = torch.nn.Parameter(torch.zeros(1))
        weight.grad = torch.zeros(1)
        torch.optim.Adam([weight]).step()
    return {folder.name: load_probes(folder) for folder in folders}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- the server, while a pupil is at work -----------------------------------------------------------


def _supervise(job: dict[str, Any], probes: dict[str, Any], uid: int | None, how: str) -> dict[str, Any]:
    """Fork the pupil, collect its reply and its log, and end it: outcome, reply, log, CPU-seconds."""
    with contextlib.ExitStack() as closing:
        (reply_read, reply_write), (log_read, log_write) = os.pipe(), os.pipe()
        closing.callback(os.close, reply_read)
        closing.callback(os.close, log_read)
        known = _processes()
        with _process_namespace() if how == NAMESPACES else contextlib.nullcontext():
            pupil = os.fork()
            if pupil == 0:
                _pupil(job, probes, uid, how == NAMESPACES, reply_write, log_write)
        os.close(reply_write)
        os.close(log_write)
        ended = os.pidfd_open(pupil)
        closing.callback(os.close, ended)
        watched = _Watched(pupil, None if how == NONE else known, job)
        try:
            outcome, reply, log = _collect(reply_read, log_read, ended, watched, job)
        finally:  # whatever went wrong, no pupil outlives its job
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pupil, signal.SIGKILL) if how == NAMESPACES else os.killpg(pupil, signal.SIGKILL)
            _, status, usage = os.wait4(pupil, 0)
    seconds = usage.ru_utime + usage.ru_stime
    if outcome == "replied" and not reply:
        outcome = _cause(status, seconds, job)
    said = reply[: job["reply"]].decode("utf-8", "replace")
    return {"outcome": outcome, "reply": said, "log": log.text(), "seconds": round(seconds, 4)}


def _collect(
    reply_read: int, log_read: int, ended: int, watched: _Watched, job: dict[str, Any]
) -> tuple[str, bytes, _Log]:
    """Read what the pupil writes until it has ended or has to be: outcome, reply, log."""
    reply, log, open_fds = bytearray(), _Log(), {reply_read, log_read}
    while True:
        ready, _, _ = select.select([*open_fds, ended], [], [], POLL)
        for source in open_fds.intersection(ready):
            part = os.read(source, 1 << 16)
            if not part:
                open_fds.discard(source)
            elif source == log_read:
                log.add(part)
            elif len(reply) <= job["reply"]:
                reply += part
        if ended in ready and not open_fds.intersection(ready):
            return "replied", bytes(reply), log
        if trouble := "too much to say" if len(reply) > job["reply"] else watched.trouble():
            return trouble, bytes(reply), log


def _cause(status: int, seconds: float, job: dict[str, Any]) -> str:
    """Why a pupil ended without a reply."""
    if not os.WIFSIGNALED(status):
        return "ended"
    by = os.WTERMSIG(status)
    # The kernel's limit counts ticks, `seconds` the time that really passed: it may be less than the limit.
    if by == signal.SIGXCPU or (by == signal.SIGKILL and seconds >= job["seconds"]):
        return "late"
    return "killed" if by == signal.SIGKILL else "crashed"


class _Log:
    """The head and the tail of what a pupil prints, however much that is."""

    def __init__(self) -> None:
        self.head, self.tail, self.lost = b"", b"", 0

    def add(self, part: bytes) -> None:
        room = LOG_HEAD - len(self.head)
        self.head += part[:room]
        self.tail += part[room:] if room < len(part) else b""
        if len(self.tail) > LOG_TAIL:
            self.lost += len(self.tail) - LOG_TAIL
            self.tail = self.tail[-LOG_TAIL:]

    def text(self) -> str:
        middle = MISSING_LOG % self.lost if self.lost else b""
        return (self.head + middle + self.tail).decode("utf-8", "replace")


def _processes() -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


class _Watched:
    """Looks at a cell from outside: wall time, number of processes, memory of all of them together."""

    def __init__(self, pupil: int, known: set[int] | None, job: dict[str, Any]) -> None:
        self.pupil, self.known, self.job = pupil, known, job
        self.start = time.monotonic()
        self.page = os.sysconf("SC_PAGE_SIZE")
        self.looked = 0.0

    def trouble(self) -> str:
        now = time.monotonic()
        if now - self.start > self.job["wall"]:
            return "late"
        if now < self.looked + POLL:
            return ""
        self.looked = now
        there = {self.pupil} if self.known is None else _processes() - self.known
        if len(there) > self.job["processes"]:
            return "too many processes"
        private = 0
        for pid in there:
            with contextlib.suppress(OSError, ValueError, IndexError):
                fields = Path(f"/proc/{pid}/statm").read_text().split()
                private += (int(fields[1]) - int(fields[2])) * self.page  # what is shared is the server's
        return "too much memory" if private > self.job["memory"] else ""


# --- the cell ---------------------------------------------------------------------------------------


def _check(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


@contextlib.contextmanager
def _process_namespace() -> Iterator[None]:
    """A child forked herein is the first process of a new namespace; when it ends, all in it end."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.unshare(_NEWPID), "unshare")
        try:
            yield
        finally:  # the next child gets another one: without this, unshare would work only once
            _check(_libc.setns(own, _NEWPID), "setns")
    finally:
        os.close(own)


def _furnish(disk: int) -> None:
    """Mounts and IPC of its own: an empty scratch folder of so many bytes, nothing in /proc."""
    _check(_libc.unshare(_NEWNS | _NEWIPC), "unshare")
    _check(_libc.mount(b"none", b"/", None, _PRIVATE, None), "mount")
    flags = _NOSUID | _NODEV
    for place, options in (
        (SCRATCH.encode(), f"mode=1777,size={disk},nr_inodes=2000"),
        (b"/dev/shm", f"mode=1777,size={disk},nr_inodes=200"),
        (b"/proc", "mode=555,size=4096,nr_inodes=2"),
    ):
        _check(_libc.mount(b"tmpfs", place, b"tmpfs", flags, options.encode()), f"mount {place.decode()}")


def _give_up(uid: int | None) -> None:
    """No privilege left, and no way back to one."""
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _check(_libc.prctl(_PR_SET_SECUREBITS, _NO_ROOT, 0, 0, 0), "prctl")
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _able(uid: int | None) -> bool:
    """Whether a cell can be made here, tried in earnest."""
    read, write = os.pipe()
    try:
        with _process_namespace():
            child = os.fork()
            if child == 0:
                _try(uid, write)
    except OSError as error:
        print(f"no cell: {error}", file=sys.stderr)
        return False
    finally:
        os.close(write)
    try:
        os.waitpid(child, 0)
        return os.read(read, 1) == b"y"
    finally:
        os.close(read)


def _try(uid: int | None, write: int) -> None:
    """In a child: make a cell and say so; never returns."""
    try:
        _furnish(1 << 20)
        _give_up(uid)
        Path(sys.modules["torch"].__file__ or "").read_bytes()  # can this user read the environment?
        os.write(write, b"y")
    except Exception as error:
        print(f"no cell: {error}", file=sys.stderr)
    finally:
        os._exit(0)


def _limit(job: dict[str, Any]) -> None:
    cpu = max(1, int(job["seconds"]))
    for what, limit in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_AS, job["memory"]),
        (resource.RLIMIT_FSIZE, job["disk"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_NPROC, job["processes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        # SIGXCPU says what it is for; SIGKILL comes a second later, to who does not listen.
        most = limit + 1 if what == resource.RLIMIT_CPU else limit
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (min(limit, most), most))


# --- the pupil --------------------------------------------------------------------------------------


def _pupil(
    job: dict[str, Any], probes: dict[str, Any], uid: int | None, cell: bool, reply: int, log: int
) -> None:
    """Run one answer and write the reply; never returns."""
    dumps, write, leave = json.dumps, os.write, os._exit  # before a stranger's code can change them
    try:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(reply, 3)
        os.closerange(4, 1024)
        os.setsid()
        if cell:
            _furnish(job["disk"])
            os.chdir(SCRATCH)
            _give_up(uid)
        _limit(job)
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", buffering=1, closefd=False)  # noqa: SIM115
        sys.stderr = sys.stdout
        body = dumps({"nonce": job["nonce"], **answer(job, probes)}).encode()
        view = memoryview(body)
        while view:
            view = view[write(3, view) :]
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
    except BaseException:
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        leave(0)


def answer(job: dict[str, Any], probes: dict[str, Any]) -> dict[str, Any]:
    """Run the cells of one task as a notebook would, and probe what they leave behind.

    Returns:
        `reply`: what `run_probe` wrote down; `stopped`: the error that ended the answer cell, or "".
    """
    from coursekit.exercises.probe import run_probe

    namespace: dict[str, Any] = {"__name__": "__main__"}
    stopped = ""
    for i, source in enumerate(job["setup"]):
        exec(compile(source, f"setup cell {i + 1}", "exec"), namespace)
    for i, source in enumerate(job["answer"]):
        if stopped := _cell(source, f"answer {job['task']} {i + 1}", namespace):
            break
    return {"reply": run_probe(probes[job["slug"]][job["task"]], namespace, job["seed"]), "stopped": stopped}


def _cell(source: str, name: str, namespace: dict[str, Any]) -> str:
    """Run one cell; what it defined before an error stays, as in a notebook."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        exec(compile(source, name, "exec"), namespace)
    except BaseException as error:
        at = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        line = (
            getattr(error, "lineno", None)
            if isinstance(error, SyntaxError)
            else at[-1].lineno
            if at
            else None
        )
        where = f", line {line} of the cell" if line else ""
        try:
            said = str(error)[:300]
        except Exception:  # an error that cannot even be printed
            said = ""
        return f"{type(error).__name__}: {said}{where}"
    return ""


def main() -> None:
    """`worker CHECKS UID SANDBOXED`, with the jobs on standard input and the answers on standard output."""
    checks, uid, sandboxed = sys.argv[1:4]
    replies = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no answer
    serve(Path(checks), int(uid) if int(uid) >= 0 else None, sandboxed == "1", replies=replies)


if __name__ == "__main__":
    main()
