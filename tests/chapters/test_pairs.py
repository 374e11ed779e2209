"""The .py and the .ipynb of every chapter, solution and exercise are the same notebook, cell by cell."""

from pathlib import Path

import pytest

from coursekit.authoring.notebooks import find_pairs
from coursekit.authoring.pairs import differences

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("pair", find_pairs(ROOT), ids=lambda pair: pair.name)
def test_py_and_ipynb_agree(pair):
    found = differences(pair)
    assert not found, f"{pair.name}: run `make pairs`\n" + "\n".join(found)
