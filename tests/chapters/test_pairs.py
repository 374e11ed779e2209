"""The .py and the .ipynb of every chapter, solution and exercise are the same notebook, cell by cell."""

import os
import shutil
from pathlib import Path

import pytest
from jupytext import TextFileContentsManager

from coursekit.authoring.notebooks import HEADER, find_pairs, header_of, read_ipynb
from coursekit.authoring.pairs import differences

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("pair", find_pairs(ROOT), ids=lambda pair: pair.name)
def test_py_and_ipynb_agree(pair):
    found = differences(pair)
    assert not found, f"{pair.name}: run `make pairs`\n" + "\n".join(found)


@pytest.mark.parametrize("pair", [p for p in find_pairs(ROOT) if not p.generated], ids=lambda pair: pair.name)
def test_jupyterlab_opens_a_notebook_that_is_newer_than_its_py(pair, tmp_path):
    """As after `make run`. Where jupytext sees a difference, if only of blank lines, it refuses."""
    for path in (pair.py, pair.ipynb, pair.py.with_name("jupytext.toml")):
        shutil.copy(path, tmp_path)
    os.utime(tmp_path / pair.py.name, (0, 0))
    opened = TextFileContentsManager(root_dir=str(tmp_path)).get(pair.ipynb.name)
    assert len(opened["content"].cells) == len(read_ipynb(pair.ipynb).cells)


@pytest.mark.parametrize("pair", find_pairs(ROOT), ids=lambda pair: pair.name)
def test_saving_in_jupyterlab_leaves_the_header_of_the_py(pair):
    assert header_of(pair.py.read_text(encoding="utf-8")) == HEADER
