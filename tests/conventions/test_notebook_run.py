"""A notebook under `make test`: its first failing cell fails, the rest of it is skipped, others run on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]


def options_of_make_test() -> list[str]:
    """The nbval options that `make test` runs with."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^test: .*\n((?:\t.*\n)+)", makefile, re.M)
    assert recipe is not None
    return re.findall(r"--nbval-(?:lax|current-env)\b", recipe[1])


def write(path: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source, execution_count=1) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.mark.slow
def test_a_failed_cell_stops_its_own_notebook(tmp_path: Path) -> None:
    write(tmp_path / "a.ipynb", "x = 1", "assert x == 2", "raise SystemError", "x")
    write(tmp_path / "b.ipynb", "import os, sys; assert sys.prefix == " + repr(sys.prefix), "assert True")
    options = options_of_make_test()
    assert options == ["--nbval-lax", "--nbval-current-env"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "conftest",
        "-p",
        "no:cacheprovider",
        *options,
        str(tmp_path),
    ]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    result = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", os.devnull],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )
    assert "1 failed, 3 passed, 2 skipped" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 1
