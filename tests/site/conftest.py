"""Chromium for every test of a page, and `make lab`'s server on a copy of the course."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browsing import FLAGS, ROOT, copy_course, free_port, require_chromium, wait_until_it_answers
from labs import SETTINGS, TOKEN, Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of pages wait for a build of the book: `make test` runs them, the inner loop does not."""
    for item in items:
        if "site" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One headless Chromium for all tests of a worker."""
    executable = require_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def lab(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """`make lab` on a copy of chapters/, exercises/ and solutions/."""
    folder = tmp_path_factory.mktemp("lab")
    root = folder / "course"
    root.mkdir()
    copy_course(root)
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(SETTINGS)
    environment = dict(
        os.environ,
        JUPYTERLAB_SETTINGS_DIR=str(folder / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(folder / "workspaces"),
        JUPYTER_CONFIG_DIR=str(folder / "config"),
        JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
        OMP_NUM_THREADS="1",
    )
    environment.pop("PYTHON", None)
    port = free_port()
    arguments = f"--no-browser --port {port} --IdentityProvider.token={TOKEN} --ServerApp.root_dir={root}"
    log = folder / "lab.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["make", "lab", f"ARGS={arguments}"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://localhost:{port}"
    try:
        wait_until_it_answers(f"{address}/api?token={TOKEN}", process, log)
        yield Lab(address, root, browser)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where a test leaves its pictures: $DGM_SCREENSHOTS, or its own temporary folder."""
    named = os.environ.get("DGM_SCREENSHOTS")
    folder = Path(named) if named else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder
