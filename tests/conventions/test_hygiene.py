"""No file names a package registry or a place on somebody's machine; style and types are clean."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Written in pieces, so that this file does not name them either.
HOSTS = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "anaconda" + ".org",
    "download.pytorch" + ".org",
    "npmjs" + ".org",
    "npmjs" + ".com",
]
PLACES = [
    r"/(?:root|home|Users)" + r"/\w",
    "/opt" + "/(?:wheels|pypi)",
    "/work" + "/(?:main|shared)",
    "/tmp" + r"/(?:w/|ipykernel_|tmp\w{6})",
    r"\bC:" + r"\\",
]
FORBIDDEN = re.compile("|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.~]){place}" for place in PLACES)]))

# Made-up places that another test looks for in notebooks.
ALLOWED = {("tests/chapters/test_chapters.py", "/" + "home/m")}


def files() -> list[Path]:
    """Every file of the project, committed or about to be."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_no_registry_host_and_no_machine_path() -> None:
    found = []
    for path in files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [(str(path.relative_to(ROOT)), match[0]) for match in FORBIDDEN.finditer(text)]
    found = [hit for hit in found if hit not in ALLOWED]
    assert not found


@pytest.mark.parametrize(
    "text", ["https://" + HOSTS[0] + "/simple", "in /" + "home/ada/course", "'/" + "root/x'", "/" + "tmp/w/x"]
)
def test_the_rule_sees_what_it_forbids(text: str) -> None:
    assert FORBIDDEN.search(text)


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_clean(arguments: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--quiet", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_mypy_is_clean() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
