"""Renew the locks (`make lock`): what the course needs, and what it is compared with on top of that.

requirements.lock and environment.yml come from pyproject.toml, bench/requirements.lock from
bench/requirements.in at the versions of requirements.lock, of which it repeats nothing. Locked versions stay
where they are allowed; `make lock ARGS=--upgrade` takes the newest.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("course", "cluster", "book", "dev")
LOCK, PEERS_LOCK = "requirements.lock", "bench/requirements.lock"


def environment_yml(project: dict[str, Any]) -> str:
    """The text of environment.yml: Python from conda, the packages from the lock."""
    return f"""\
# Written by `make lock` from pyproject.toml: change that file, not this one.
#   conda env create -f environment.yml && conda activate {project["name"]}
#   pip install --no-deps --no-build-isolation -e .
# The packages are those of `make env`, at the same versions and with the same hashes.
name: {project["name"]}
channels:
  - conda-forge
dependencies:
  - python{project["requires-python"]}
  - pip
  - pip:
      - -r requirements.lock
"""


def compile_command(project: dict[str, Any], source: str, output: str, arguments: list[str]) -> list[str]:
    """uv's command line; it names no index, so that the lock holds for every mirror."""
    lowest = re.sub(r"^>=", "", project["requires-python"])
    options = ["--universal", "--generate-hashes", "--python-version", lowest, "--no-header"]
    silent = ["--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    compile_ = [sys.executable, "-m", "uv", "pip", "compile", source]
    return [*compile_, *options, *silent, "--output-file", output, *arguments]


def lock_command(project: dict[str, Any], arguments: list[str]) -> list[str]:
    """Lock what pyproject.toml asks for."""
    extras = [part for extra in EXTRAS for part in ("--extra", extra)]
    return compile_command(project, "pyproject.toml", LOCK, [*extras, *arguments])


def peers_command(project: dict[str, Any], lock: str, arguments: list[str]) -> list[str]:
    """Lock what bench/requirements.in asks for on top of a lock, whose text is given."""
    names = sorted(set(re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)))
    known = [part for name in names for part in ("--no-emit-package", name)]
    return compile_command(
        project, "bench/requirements.in", PEERS_LOCK, ["--constraint", LOCK, *known, *arguments]
    )


def renew(name: str, command: list[str]) -> int:
    """Write one lock; uv's exit status."""
    failed = subprocess.run(command, cwd=ROOT, check=False).returncode
    if failed:
        print(f"{name} was not renewed: see uv's message above.", file=sys.stderr)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    failed = renew(LOCK, lock_command(project, upgrade))
    if failed:
        return failed
    (ROOT / "environment.yml").write_text(environment_yml(project), encoding="utf-8")
    return renew(PEERS_LOCK, peers_command(project, (ROOT / LOCK).read_text(encoding="utf-8"), upgrade))


if __name__ == "__main__":
    sys.exit(main())
