"""Test the ends of what pyproject.toml allows (`make test-versions`): every Python, the lowest versions.

For each Python from the lowest one supported on that is on this machine, an environment in `.venvs/` with
the packages of requirements.lock; and one with the lowest Python and the lowest version of every package
that pyproject.toml asks for, torch included. In each the unit and equation tests run, without those marked
slow. What passed is written to docs/data/versions.json, against which a test holds pyproject.toml, and which
the book shows. An environment takes some 7 GB; `make clean` deletes them.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS, TABLE = ROOT / ".venvs", ROOT / "docs" / "data" / "versions.json"
PYTHONS = ("3.11", "3.12", "3.13")
LOWEST = "lowest"
EXTRAS = "course,cluster,book,dev"
TESTS = ("tests/unit", "tests/equations")


@dataclass(frozen=True)
class Row:
    """What one environment's tests came to; `packages` says which versions matter most."""

    name: str
    python: str
    packages: dict[str, str]
    passed: int
    failed: int
    skipped: int


def find_python(version: str) -> str | None:
    """The interpreter of a version on this machine, or None; nothing is downloaded."""
    # pyenv's shims on PATH run only the versions that are switched on: its folders are looked at first.
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for candidate in sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True):
        return str(candidate)
    find = [sys.executable, "-m", "uv", "python", "find", "--system", "--no-python-downloads", version]
    found = subprocess.run(find, capture_output=True, text=True)
    return found.stdout.strip() or None if found.returncode == 0 else None


def install(name: str, python: str) -> Path:
    """Build `.venvs/<name>` if it is not there or out of date; return its interpreter."""
    folder = ENVIRONMENTS / name
    inside, stamp = folder / "bin" / "python", folder / "built-from"
    digest = hashlib.sha256(
        (ROOT / "pyproject.toml").read_bytes() + (ROOT / "requirements.lock").read_bytes()
    )
    wanted = f"{python} {digest.hexdigest()}"
    if stamp.is_file() and stamp.read_text() == wanted:
        return inside
    uv = [sys.executable, "-m", "uv"]
    print(f"{name}: installing with {python}", flush=True)
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", python, str(folder)], cwd=ROOT, check=True)
    pip = [*uv, "pip", "install", "--quiet", "--python", str(inside)]
    if name == LOWEST:
        everything = ["--resolution", "lowest-direct", "--editable", f".[{EXTRAS}]"]
        subprocess.run([*pip, *everything], cwd=ROOT, check=True)
    else:
        subprocess.run([*pip, "--require-hashes", "--requirement", "requirements.lock"], cwd=ROOT, check=True)
        subprocess.run([*pip, "--no-deps", "--editable", "."], cwd=ROOT, check=True)
    stamp.write_text(wanted)
    return inside


def counts(output: str) -> dict[str, int]:
    """pytest's last line: "3 failed, 388 passed, 2 skipped in 70 s" as numbers; errors count as failed."""
    last = next((line for line in reversed(output.splitlines()) if re.search(r" in [\d.]+s", line)), "")
    found = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|error)", last)}
    return {
        "passed": found.get("passed", 0),
        "failed": found.get("failed", 0) + found.get("error", 0),
        "skipped": found.get("skipped", 0),
    }


def test(name: str, inside: Path, workers: int) -> Row:
    """Run the tests in one environment."""
    look = (
        "import json, platform; from importlib.metadata import version;"
        "names = ('torch', 'torchvision', 'numpy', 'scipy', 'scikit-learn', 'jupytext', 'sphinx');"
        "print(json.dumps([platform.python_version(), {n: version(n) for n in names}]))"
    )
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"OMP_NUM_THREADS": "1"}
    seen = subprocess.run([inside, "-c", look], capture_output=True, text=True, check=True, env=environment)
    python, packages = json.loads(seen.stdout)
    print(f"{name}: Python {python}, torch {packages['torch']}", flush=True)
    options = ["-q", "-m", "not slow and not browser", "-p", "no:cacheprovider", "-n", str(workers)]
    command = [str(inside), "-m", "pytest", *options, "--dist", "loadfile", *TESTS]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(f"  {line}", end="", flush=True)
    found = counts("".join(lines))
    if process.returncode and not found["failed"]:
        raise SystemExit(f"{name}: pytest ended with {process.returncode} before it counted anything")
    return Row(name, python, packages, **found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 1 if a test failed anywhere."""
    parser = argparse.ArgumentParser(prog="make test-versions", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(PYTHONS)}, {LOWEST} (default: all)")
    parser.add_argument("--workers", type=int, default=2, help="tests side by side (default: 2)")
    options = parser.parse_args(arguments)
    known = (*PYTHONS, LOWEST)
    if unknown := [name for name in options.names if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    done: dict[str, Row] = {}
    if TABLE.is_file():
        done = {row["name"]: Row(**row) for row in json.loads(TABLE.read_text(encoding="utf-8"))["rows"]}
    failed = False
    for name in options.names or known:
        python = find_python(PYTHONS[0] if name == LOWEST else name)
        if python is None:
            print(f"{name}: no such Python on this machine; left as it was", flush=True)
            continue
        row = test(name, install(name, python), options.workers)
        failed = failed or row.failed > 0 or row.passed == 0
        done[name] = row
        table = {
            "requires-python": project["requires-python"],
            "dependencies": project["dependencies"],
            "tests": list(TESTS),
            "rows": [asdict(done[key]) for key in known if key in done],
        }
        TABLE.parent.mkdir(parents=True, exist_ok=True)
        TABLE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    for row in done.values():
        print(f"{row.name:8} Python {row.python:8} torch {row.packages['torch']:8} {row.passed} passed, "
              f"{row.failed} failed, {row.skipped} skipped")  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
