"""The command line of the mutation run."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm

from coursekit.authoring import notebooks as nb
from coursekit.authoring.mutation import plan as plans
from coursekit.authoring.mutation.sites import Mutant
from coursekit.authoring.mutation.table import (
    AT_LEAST,
    FOLDER,
    TABLE,
    Result,
    Results,
    digest_of,
    provenance,
    table,
    total,
)
from coursekit.authoring.mutation.warm import Test, Warm, with_tests

PER_MODULE = 80  # mutants of a module that a run tries, unless told otherwise: half of all, in an hour
SEED = 0
SAVE_EVERY = 50  # tests whose reach is measured


class Run:
    """One run: traces what is not known, tries what has no verdict.

    Args:
        root: of the repository.
        plan: what is covered.
        chosen: of each module the mutants that were drawn, and how many there are.
        jobs: children at a time.
        fresh: forget what is known.
    """

    def __init__(
        self,
        root: Path,
        plan: plans.Plan,
        chosen: Mapping[str, tuple[Sequence[Mutant], int]],
        jobs: int,
        fresh: bool,
    ) -> None:
        self.root, self.plan, self.chosen, self.jobs = root, plan, chosen, jobs
        self.files = plan.modules(root)
        folder = root / FOLDER
        if fresh:
            for name in ("results.jsonl", "reach.json"):
                (folder / name).unlink(missing_ok=True)
        self.results = Results(folder / "results.jsonl")
        self.reach = folder / "reach.json"
        self.notes: list[str] = []

    def __call__(self, items: Sequence[pytest.Item]) -> None:
        """What the pytest session does instead of running its tests."""
        warm = Warm(items, self.files.values(), self.jobs, self.plan.patience_s)
        tests, loaded = self._traced(warm)
        warm.freeze(loaded)
        failing = [name for name, test in tests.items() if not test.passed]
        self.notes += [f"left out, it fails as the code stands: {name}" for name in failing]
        tests = {name: test for name, test in tests.items() if test.passed}
        seconds = {name: test.seconds for name, test in tests.items()}
        by_line: dict[tuple[str, int], set[str]] = defaultdict(set)
        for name, test in tests.items():
            for file, lines in test.lines.items():
                for line in lines:
                    by_line[file, line].add(name)
        killers: dict[str, set[str]] = defaultdict(set)  # of each function
        todo, mutants, reaching = [], dict[str, Mutant](), dict[str, list[str]]()
        for module, (drawn, _) in self.chosen.items():
            file = str(self.files[module])
            for m in drawn:
                found = set().union(*(by_line[file, line] for line in range(m.lines[0], m.lines[1] + 1)))
                reaching[m.key] = sorted(found, key=lambda name: (seconds[name], name))
                mutants[m.key] = m
                if not self.results.holds(m.key, tests, reaching[m.key]):
                    todo.append(m)

        # All modules at a time, so that a run that is stopped has seen something of each.
        random.Random(0).shuffle(todo)

        def order(mutant: Mutant) -> list[str]:
            """First what killed another mutant of the function, then the fastest."""
            known = killers[mutant.module + mutant.function]
            return sorted(reaching[mutant.key], key=lambda name: name not in known)

        jobs = [
            (
                m.key,
                str(self.files[m.module]),
                lambda m=m: m.codes(self.files[m.module]),
                lambda m=m: order(m),
            )
            for m in todo
        ]
        killed = 0
        with tqdm(jobs, desc="mutants", unit="", disable=None, total=len(jobs)) as bar:
            for key, verdict in warm.kill(jobs, seconds):
                m = mutants[key]
                if verdict is None or verdict.startswith("?"):
                    result = Result(key, "unfit", (verdict or "?the change does not compile")[1:], "")
                elif verdict:
                    killed += 1
                    killers[m.module + m.function].add(verdict)
                    result = Result(key, "killed", verdict, tests[verdict].digest)
                else:
                    by = "" if reaching[key] else "no test reaches it"
                    result = Result(key, "survived", by, digest_of(tests, reaching[key]))
                self.results.add(result)
                bar.update()
                bar.set_postfix_str(f"{killed} killed, {m.module}", refresh=False)

    def _traced(self, warm: Warm) -> tuple[dict[str, Test], list[str]]:
        """What every test reaches, measured again for the files of tests that have changed."""
        kept: dict[str, Any] = json.loads(self.reach.read_text()) if self.reach.exists() else {}
        known: dict[str, Any] = kept.get("tests", {})
        loaded = set(kept.get("loaded", ()))
        keys = {file: self._key(file) for file in {nodeid.split("::")[0] for nodeid in warm.items}}
        key = {nodeid: keys[nodeid.split("::")[0]] for nodeid in warm.items}
        known = {nodeid: entry for nodeid, entry in known.items() if nodeid in key}
        stands = {
            str(path.relative_to(self.root)): _digest(path.read_bytes()) for path in self.files.values()
        }

        def holds(nodeid: str) -> bool:
            """Neither the test has changed nor a module that it reached."""
            entry = known.get(nodeid, {"key": ""})
            if entry["key"] != key[nodeid]:
                return False
            return all(stands.get(file) == digest for file, digest in entry["files"].items())

        new = [nodeid for nodeid in key if not holds(nodeid)]
        warm.freeze(sorted(loaded))
        bar = tqdm(warm.trace(new), desc="what tests reach", unit="", disable=None, total=len(new))
        for done, (nodeid, test, more) in enumerate(bar, start=1):
            loaded |= set(more)
            lines = {
                str(Path(f).relative_to(self.root)): sorted(numbers) for f, numbers in test.lines.items()
            }
            known[nodeid] = {
                "key": key[nodeid],
                "files": {file: stands[file] for file in lines},
                "lines": lines,
                "seconds": round(test.seconds, 4),
                "passed": test.passed,
                "digest": test.digest,
            }
            if done % SAVE_EVERY == 0 or done == len(new):
                self.reach.write_text(
                    json.dumps({"tests": known, "loaded": sorted(loaded)}), encoding="utf-8"
                )
        tests = {}
        for nodeid, entry in known.items():
            reached = {str(self.root / file): frozenset(lines) for file, lines in entry["lines"].items()}
            tests[nodeid] = Test(reached, entry["seconds"], entry["passed"], entry["digest"])
        return tests, sorted(loaded)

    def _key(self, file: str) -> str:
        """Digest of what the reach of a file's tests depends on: itself and its helpers."""
        text = (self.root / file).read_text(encoding="utf-8")
        helpers = [p for p in sorted((self.root / "tests").glob("*.py")) if re.search(rf"\b{p.stem}\b", text)]
        return _digest(sys.version, text, *(path.read_bytes() for path in helpers))


def _digest(*parts: str | bytes) -> str:
    whole = sha256()
    for part in parts:
        whole.update(sha256(part.encode() if isinstance(part, str) else part).digest())
    return whole.hexdigest()[:16]


def main(arguments: list[str] | None = None) -> int:
    """Command line; the exit status is 0 only if every survivor is explained and enough are killed."""
    parser = argparse.ArgumentParser(prog="python -m coursekit.authoring.mutation", description=__doc__)
    parser.add_argument(
        "--module", action="append", metavar="NAME", help="only this one (dgm.vae.*), and no table"
    )
    parser.add_argument(
        "--per-module", type=int, default=PER_MODULE, help="at most so many mutants; 0: all (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of the draw (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side (%(default)s)")
    parser.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True, help="keep what is known (yes)"
    )
    parser.add_argument(
        "--list", action="store_true", help="print the modules and how many mutants they have"
    )
    parser.add_argument("--root", type=Path, help="the repository (default: the one you are in)")
    options = parser.parse_args(arguments)
    root = options.root.resolve() if options.root else nb.repository_root()
    plan = plans.read(root)
    try:
        files = plan.modules(root)
    except ValueError as error:
        parser.error(str(error))
    names = [n for n in files if not options.module or any(fnmatchcase(n, p) for p in options.module)]
    if not names:
        parser.error(f"no covered module fits {', '.join(options.module)}; --list prints them")
    chosen = {name: plans.drawn(files[name], name, options.per_module, options.seed) for name in names}
    if options.list:
        for name, (drawn, possible) in chosen.items():
            print(f"{name:<36} {len(drawn):4} of {possible}")
        print(
            f"{'all':<36} {sum(len(d) for d, _ in chosen.values()):4} of {sum(n for _, n in chosen.values())}"
        )
        for pattern, why in plan.left_out.items():
            print(f"{pattern:<36} left out: {why}")
        return 0
    started = time.monotonic()
    run = Run(root, plan, chosen, options.jobs, not options.resume)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no child outlives this process
    tqdm.monitor_interval = 0  # its thread would not survive a fork
    sys.path.insert(0, str(root / plan.source))
    if (status := with_tests(root, plan.tests, plan.ignored, plan.marks, run)) not in (0, 5):
        print(f"pytest could not collect the tests: status {status}", file=sys.stderr)
        return 1
    return report(
        run,
        plan,
        options.per_module,
        options.seed,
        whole=not options.module,
        seconds=time.monotonic() - started,
    )


def report(run: Run, plan: plans.Plan, most: int, seed: int, *, whole: bool, seconds: float) -> int:
    """Print the table and what is wrong; after a whole run write it."""
    rows, survivors = table(run.chosen, run.results.known, plan.equivalents)
    sums = total(rows)
    print(f"{'module':<36} possible  tried  killed  equivalent  survived   rate")
    for row in (*rows, {"module": "all", **sums}):
        counts = f"{row['possible']:8} {row['mutants']:6} {row['killed']:7} {row['equivalent']:11}"
        print(f"{row['module']:<36} {counts} {row['survived']:9} {row['rate']:6.1%}")
    unfit = [
        r
        for d, _ in run.chosen.values()
        for m in d
        if (r := run.results.known.get(m.key)) and r.verdict == "unfit"
    ]
    print(f"{seconds:.0f} s; {len(unfit)} changes could not be put into the living code and are not counted")
    print("\n".join(run.notes))
    trouble = []
    for item in survivors:
        if not item["why"]:
            trouble.append(
                f"survives: {item['module']}:{item['line']} {item['function']}\n    "
                + item["what"].replace(" -> ", "\n    ")
            )
    trouble += [
        f"{plans.PLAN} explains what is no mutant: {e.module} {e.function}: {e.before} -> {e.after}"
        for e in plans.stale(plan, run.root, run.chosen)
    ]
    for m in (m for drawn, _ in run.chosen.values() for m in drawn):
        known = run.results.known.get(m.key)
        if known and known.verdict == "killed" and any(entry.fits(m) for entry in plan.equivalents):
            trouble.append(f"{plans.PLAN} explains what {known.by} kills: {m.module} {m.before} -> {m.after}")
    if whole:
        data = provenance(run.root, plan.package) | {"seed": seed, "per_module": most, "total": sums}
        data |= {"modules": rows, "survivors": survivors, "left_out": plan.left_out}
        path = run.root / TABLE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"written: {TABLE}")
    if sums["rate"] < AT_LEAST:
        trouble.append(
            f"{sums['rate']:.1%} killed of those that are not equivalent, at least {AT_LEAST:.0%} should be"
        )
    print("\n".join(trouble))
    return 1 if trouble else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # what was frozen before the forks is never freed, and libraries would complain of it
