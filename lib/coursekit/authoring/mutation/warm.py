"""One warm process that has torch and the tests loaded, and forks for every mutant.

It is a pytest session that collects the tests and, instead of running them, hands them to a `Warm`. A child
takes the session as it stands, changes the code of one function in place (so that everybody who imported it
runs the mutant), runs the tests that reach the changed line and stops at the first that fails. Loading torch
takes seconds, a fork hundredths.

Which test reaches which line is measured in the same way: one child for each test, with `coverage`.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol

CPU_TIMES = 10.0  # a test of a mutant may take so many times its seconds, and the plan's patience
WALL_TIMES = 20.0  # as many times that for one that waits; the machine may be loaded
MEMORY = 6 * 2**30  # bytes of addresses on top of what the warm process has


@dataclass(frozen=True)
class Test:
    """One test as it ran on the code as it stands.

    Args:
        lines: those of each covered file that it reached.
        seconds: of CPU.
        passed: whether it did.
        digest: of its source.
    """

    __test__ = False  # it is no test class, whatever pytest makes of its name

    lines: Mapping[str, frozenset[int]]
    seconds: float
    passed: bool
    digest: str


class Unfit(Exception):
    """The change cannot be put into the living function."""


class Warm:
    """The process that forks.

    Args:
        items: the collected tests.
        files: the modules that may be mutated.
        jobs: children at a time.
        patience_s: CPU seconds that a test of a mutant may take beyond ten times its own.
    """

    def __init__(
        self, items: Sequence[pytest.Item], files: Iterable[Path], jobs: int, patience_s: float
    ) -> None:
        self.items = {item.nodeid: item for item in items}
        self.files = {str(path) for path in files}
        self.jobs, self.patience_s = jobs, patience_s
        self.functions: dict[tuple[str, str, int], list[FunctionType]] = {}
        for item in items[:1]:
            # The children share one temporary folder: each by itself would take the others' for stale.
            item.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]

    def freeze(self, modules: Iterable[str]) -> None:
        """Import what tests import only when they run, and take stock of the living functions."""
        for name in modules:
            if name not in sys.modules:
                with suppress(Exception):
                    importlib.import_module(name)
        self.functions.clear()
        gc.unfreeze()  # what is frozen is not listed
        for function in gc.get_objects():
            if type(function) is FunctionType and function.__code__.co_filename in self.files:
                code = function.__code__
                key = (code.co_filename, code.co_qualname, code.co_firstlineno)
                self.functions.setdefault(key, []).append(function)
        gc.collect()
        gc.freeze()  # no child copies the pages only to look for garbage

    def digest(self, nodeid: str) -> str:
        """Of the test's own source; a parametrised one's is that of all its cases."""
        function = getattr(self.items[nodeid], "function", None)
        return sha256(inspect.getsource(function).encode()).hexdigest()[:12] if function else ""

    def trace(self, nodeids: Sequence[str]) -> Iterator[tuple[str, Test, list[str]]]:
        """Run tests, each in a child of its own: what it reached, and which modules it loaded."""

        def work(nodeid: str) -> Any:
            measure = coverage.Coverage(data_file=None, include=sorted(self.files), config_file=False)
            before, started = set(sys.modules), time.process_time()
            measure.start()
            passed = self._passes(nodeid)
            measure.stop()
            seconds = time.process_time() - started
            data = measure.get_data()
            lines = {file: sorted(data.lines(file) or ()) for file in data.measured_files()}
            return passed, seconds, lines, sorted(set(sys.modules) - before)

        for nodeid, answer in self._forked([(nodeid, nodeid) for nodeid in nodeids], work):
            passed, seconds, lines, loaded = answer if isinstance(answer, list) else (False, 0.0, {}, [])
            reached = {file: frozenset(numbers) for file, numbers in lines.items() if numbers}
            yield nodeid, Test(reached, seconds, passed, self.digest(nodeid)), loaded

    def kill(
        self,
        todo: Sequence[
            tuple[str, str, Callable[[], Mapping[tuple[str, int], CodeType]], Callable[[], list[str]]]
        ],
        seconds: Mapping[str, float],
    ) -> Iterator[tuple[str, str]]:
        """Try mutants: yields (key, verdict) as they come.

        Args:
            todo: (key, file, the mutated code objects, the tests to run in their order) of each.
            seconds: that each test takes on the code as it stands.

        Yields:
            The verdict: the id of the test that failed, "" where all passed, or "?" and why where the change
            cannot be put in.
        """

        def work(job: Any) -> str:
            _, file, codes, tests = job
            try:
                self._patch(file, codes())
            except Unfit as error:
                return f"?{error}"
            for nodeid in tests():
                _limit(CPU_TIMES * seconds[nodeid] + self.patience_s)
                self._tell(["running", nodeid])
                if not self._passes(nodeid):
                    return nodeid
            return ""

        for key, answer in self._forked([(job[0], job) for job in todo], work):
            # A child that died names the test it died of: out of time, out of memory, a crash.
            yield key, answer[1] if isinstance(answer, list) else answer

    def _passes(self, nodeid: str) -> bool:
        reports = runtestprotocol(self.items[nodeid], log=False, nextitem=None)
        return not any(report.failed for report in reports)

    def _patch(self, file: str, codes: Mapping[tuple[str, int], CodeType]) -> None:
        done = False
        for (qualname, line), code in codes.items():
            for function in self.functions.get((file, qualname, line), ()):
                if function.__code__ == code:
                    continue
                try:
                    function.__code__ = code
                except ValueError as error:
                    raise Unfit(str(error)) from error
                done = True
        if not done:
            raise Unfit("no living function has this code")

    def _tell(self, message: Any) -> None:
        os.write(self._out, (json.dumps(message) + "\n").encode())

    def _forked(
        self, todo: Iterable[tuple[str, Any]], work: Callable[[Any], Any]
    ) -> Iterator[tuple[str, Any]]:
        """Do work in children: (key, the last that the child told, None where it told nothing)."""
        waiting, running = iter(todo), dict[int, tuple[str, int, bytearray]]()
        more = True
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            while more or running:
                while more and len(running) < self.jobs:
                    if (job := next(waiting, None)) is None:
                        more = False
                        break
                    key, what = job
                    reader, self._out = os.pipe()
                    if (child := os.fork()) == 0:
                        self._child(work, what)
                    os.close(self._out)
                    running[reader] = (key, child, bytearray())
                if not running:
                    continue
                for reader in select.select(list(running), [], [])[0]:
                    key, child, said = running[reader]
                    if part := os.read(reader, 1 << 16):
                        said += part
                        continue
                    os.close(reader)
                    _end(child)
                    del running[reader]
                    lines = said.decode().splitlines()
                    yield key, json.loads(lines[-1]) if lines else None
        finally:
            for _, child, _ in running.values():
                _end(child)

    def _child(self, work: Callable[[Any], Any], what: Any) -> None:
        """Never returns."""
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()  # what it starts ends with it, and it gets a share of the machine of its own
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            grown = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (grown, grown))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            self._tell(work(what))
        finally:
            os._exit(0)


def _end(child: int) -> None:
    """Wait for a child, and end whatever it has started."""
    for kill in (os.kill, os.killpg):
        with suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def _limit(cpu_s: float) -> None:
    """End this process unless the next test is done in its time; nobody catches these signals."""
    for timer, number, seconds in (
        (signal.ITIMER_PROF, signal.SIGPROF, cpu_s),
        (signal.ITIMER_REAL, signal.SIGALRM, WALL_TIMES * cpu_s),
    ):
        signal.signal(number, signal.SIG_DFL)
        signal.setitimer(timer, seconds)


class _Session:
    """A pytest plugin that gives the collected tests away instead of running them."""

    def __init__(self, then: Callable[[Sequence[pytest.Item]], None]) -> None:
        self.then = then

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.then(session.items)
        return True


def with_tests(
    root: Path,
    paths: Sequence[str],
    ignored: Sequence[str],
    marks: str,
    then: Callable[[Sequence[pytest.Item]], None],
) -> int:
    """Collect the tests and hand them over; returns pytest's exit status.

    Args:
        root: of the repository.
        paths: of the tests, from the root.
        ignored: paths below them that are not collected.
        marks: pytest's -m.
        then: what to do with the tests.
    """
    quiet = ["-p", "no:cacheprovider", "-p", "no:faulthandler", "-qq", "--no-header", "--no-summary"]
    arguments = ["--rootdir", str(root), "--capture=no", "--assert=plain", "--tb=short", "-m", marks, *quiet]
    arguments += [f"--ignore={root / path}" for path in ignored]
    return int(pytest.main([*arguments, *(str(root / path) for path in paths)], plugins=[_Session(then)]))
