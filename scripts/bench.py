"""Run the measurements in bench/, one after another (`make bench`), and print one table of them all.

Where `make peers` was called, its environment runs them, so that the other libraries are measured too; a
script whose peers are missing is skipped. What each script measured goes into docs/data/bench.json, which
the book draws; a run with --quick judges nothing and stores nothing. A script that misses a limit fails the
run, after all the others have had their turn.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BENCH, TABLE = ROOT / "bench", ROOT / "docs" / "data" / "bench.json"
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SKIPPED = 77


def scripts() -> list[str]:
    """The names of all measurements, in order."""
    return sorted(path.stem for path in BENCH.glob("*.py") if path.stem != "common")


def measure(name: str, python: Path | str, arguments: Sequence[str]) -> tuple[int, dict[str, Any]]:
    """Run one script with its output shown; its exit status, and the JSON of its last line ({}: none)."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"OMP_NUM_THREADS": "1"}
    last = ""
    command = [str(python), f"bench/{name}.py", *arguments]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('{"bench"'):  # for programs; the table says it for readers
                last = line
            else:
                print(line, end="", flush=True)
    try:
        return process.returncode, json.loads(last)
    except ValueError:
        return process.returncode, {}


def rows(benches: Sequence[dict[str, Any]]) -> list[tuple[str, str, str, str, str]]:
    """Script, figure, value with its spread, limit and verdict, for every figure of every script."""
    found = []
    for bench in benches:
        for name, figure in bench.get("figures", {}).items():
            values = [value for value in figure.get("values") or [figure["mean"]] if value is not None]
            shown = f"{figure['mean']:.4g} {figure['unit']}" if figure["mean"] is not None else "no number"
            if len(values) > 1:
                shown += f" ({min(values):.4g} to {max(values):.4g})"
            limits = [f"at most {figure['at_most']:g}"] if "at_most" in figure else []
            limits += [f"at least {figure['at_least']:g}"] if "at_least" in figure else []
            verdict = {True: "ok", False: "MISSED"}.get(figure.get("ok"), "")
            found.append((bench["bench"], name, shown, ", ".join(limits), verdict))
    return found


def table(lines: Sequence[tuple[str, ...]]) -> str:
    """Text in columns, flush left."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in text)


def commit() -> str:
    """The commit that is measured, with a plus where files have changed since."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=9"], cwd=ROOT, capture_output=True, text=True
    )
    return found.stdout.strip()


def store(benches: Sequence[dict[str, Any]], path: Path = TABLE) -> None:
    """Put what was measured among what was measured before; scripts that are gone go."""
    before: list[dict[str, Any]] = []
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))["benches"]
    kept = {bench["bench"]: bench for bench in [*before, *benches]}
    data = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "benches": [kept[name] for name in scripts() if name in kept],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 1 if a script failed or missed a limit."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(scripts())} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few steps, no limit judged, nothing stored")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in scripts()]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(scripts())}")
    python = PEERS_PYTHON if PEERS_PYTHON.exists() else sys.executable
    if python == PEERS_PYTHON and subprocess.call([sys.executable, str(ROOT / "scripts" / "peers.py")]):
        return 1
    done, failed, skipped = [], [], []
    chosen = options.names or scripts()
    for i, name in enumerate(chosen):
        print(f"== {i + 1}/{len(chosen)} bench/{name}.py", flush=True)
        began, here = time.monotonic(), commit()
        status, found = measure(name, python, ["--quick"] if options.quick else [])
        print(f"   {time.monotonic() - began:.0f} s", flush=True)
        if status == SKIPPED:
            skipped.append(name)
            continue
        if status:
            failed.append(name)
        if found:
            done.append({**found, "commit": here})
            if not options.quick:
                store(done)  # at once: a long run may be stopped
    if done:
        print("\n" + table([("script", "figure", "value", "limit", ""), *rows(done)]))
    if skipped:
        print(f"skipped, see above what to install: {' '.join(skipped)}")
    if failed:
        print(f"failed: {' '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
