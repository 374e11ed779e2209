"""How notebooks are tested: after a cell that fails, the rest of its notebook is skipped.

nbval would run every later cell against the state that the failed one left, and bury the first error under
the errors that follow from it. The plugin named below adds `--equation-report`, for the book's index.
"""

from collections.abc import Generator
from typing import Any

import pytest
from nbval.plugin import IPyNbCell

pytest_plugins = ["coursekit.authoring.status"]
FAILED_CELL = pytest.StashKey[str]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.failed and isinstance(item, IPyNbCell) and item.parent is not None:
        item.parent.stash.setdefault(FAILED_CELL, item.name)
    return report


def pytest_runtest_setup(item: pytest.Item) -> None:
    if isinstance(item, IPyNbCell) and item.parent is not None and FAILED_CELL in item.parent.stash:
        pytest.skip(f"{item.parent.stash[FAILED_CELL]} of this notebook failed")
