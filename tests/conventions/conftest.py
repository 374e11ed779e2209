"""DGM_SKIPS=fail, as `make test-peers` sets it: the peers are installed, so no test may be skipped."""

import os
from collections.abc import Generator
from typing import Any

import pytest


def judged(report: Any) -> Any:
    """The report of a test or of a whole file; where none may be skipped, a skip is a failure."""
    if os.environ.get("DGM_SKIPS") == "fail" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"no test may be skipped here: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    return judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, Any, Any]:
    return judged((yield))
