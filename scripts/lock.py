"""Renew requirements.lock and environment.yml from pyproject.toml (`make lock`).

Locked versions stay where pyproject.toml allows them; `make lock ARGS=--upgrade` takes the newest.
"""

import argparse
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("course", "dev")


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


def lock_command(project: dict[str, Any], arguments: list[str]) -> list[str]:
    """uv's command line; it names no index, so that the lock holds for every mirror."""
    lowest = re.sub(r"^>=", "", project["requires-python"])
    extras = [part for extra in EXTRAS for part in ("--extra", extra)]
    options = ["--universal", "--generate-hashes", "--python-version", lowest, "--no-header"]
    silent = ["--no-emit-index-url", "--no-emit-find-links", "--quiet"]
    output = ["--output-file", "requirements.lock"]
    compile_ = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml"]
    return [*compile_, *extras, *options, *silent, *output, *arguments]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    failed = subprocess.run(lock_command(project, upgrade), cwd=ROOT, check=False).returncode
    if failed:
        print("requirements.lock was not renewed: see uv's message above.", file=sys.stderr)
        return failed
    (ROOT / "environment.yml").write_text(environment_yml(project), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
