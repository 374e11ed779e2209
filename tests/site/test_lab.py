"""`make lab` as a student sees it: the VAE chapter opened in Chromium, run to its end, its figures shown."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = Path(os.environ.get("DGM_LAB_NOTEBOOK", ROOT / "chapters" / "02_vae.ipynb"))
SECONDS_TO_START = 120
SECONDS_TO_RUN = 600
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Only the cells on the screen are in the page otherwise, and the test could not see the others' figures.
SETTINGS = '{"windowingMode": "none"}'

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def chromium() -> str:
    if CHROMIUM is None:
        message = "Chromium is not installed: on Debian, `apt install chromium` (.ci/run does)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return CHROMIUM


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of `make lab`'s server on a copy of the chapter without its outputs."""
    notebook = nbformat.read(CHAPTER, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    folder = tmp_path / "chapters"
    folder.mkdir()
    nbformat.write(notebook, folder / CHAPTER.name)

    settings = tmp_path / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(SETTINGS)
    environment = dict(
        os.environ,
        JUPYTERLAB_SETTINGS_DIR=str(tmp_path / "settings"),
        JUPYTERLAB_WORKSPACES_DIR=str(tmp_path / "workspaces"),
        JUPYTER_CONFIG_DIR=str(tmp_path / "config"),
        JUPYTER_RUNTIME_DIR=str(tmp_path / "runtime"),
        OMP_NUM_THREADS="1",
    )
    environment.pop("PYTHON", None)
    port = free_port()
    arguments = f"--no-browser --port {port} --IdentityProvider.token=test --ServerApp.root_dir={folder}"
    log = tmp_path / "lab.log"
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
        wait_until_it_answers(f"{address}/api?token=test", process, log)
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"make lab did not start a server:\n{log.read_text()}")


# The prompts of the code cells: "[ ]:" not run, "[*]:" running or waiting, "[3]:" done.
PROMPTS = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].map(
    cell => cell.querySelector('.jp-InputPrompt').textContent.trim())"""
STARTED = f"() => ({PROMPTS})().some(prompt => /[*0-9]/.test(prompt))"
ENDED = f"() => !({PROMPTS})().some(prompt => prompt.includes('*'))"
ERRORS = """() => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output')]
    .map(output => output.textContent).filter(text => text.includes('Traceback (most recent call last)'))"""
IMAGES = """() => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output img')].map(
    image => ({alt: image.alt, width: image.complete ? image.naturalWidth : 0}))"""


def run_all(page: Any, address: str) -> None:
    """Open the chapter, Run > Run All Cells, and wait until the last cell has run or one has failed."""
    page.goto(f"{address}/lab/tree/{CHAPTER.name}?token=test")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_selector(
        "text=/[|] Idle/", timeout=60_000
    )  # the status bar, once the kernel is the notebook's
    started = False
    for _ in range(5):  # JupyterLab drops what is asked of it in the first moments after that
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        page.wait_for_timeout(5000)
        started = page.evaluate(STARTED)
        if started:
            break
        page.keyboard.press("Escape")  # a dialog that asks for a kernel
    assert started, "Run All Cells runs nothing"
    page.wait_for_function(ENDED, timeout=SECONDS_TO_RUN * 1000, polling=500)


def test_the_chapter_runs_to_its_end_and_shows_its_figures(
    chromium: str, server: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    source = nbformat.read(CHAPTER, as_version=4)
    figures = sum(len(re.findall(r"^\s*(?:figure|frames)\(", cell.source, re.M)) for cell in source.cells)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        try:
            run_all(page, server)
            errors, prompts, images = page.evaluate(ERRORS), page.evaluate(PROMPTS), page.evaluate(IMAGES)
        finally:
            page.screenshot(path=str(tmp_path / "end.png"))
            browser.close()
    assert not errors, "\n".join(errors)
    assert len(prompts) == sum(cell.cell_type == "code" and bool(cell.source) for cell in source.cells)
    assert all(re.search(r"\d", prompt) for prompt in prompts), f"cells that were not run: {prompts}"
    assert len(images) >= max(figures, 1)
    assert all(image["width"] > 0 and image["alt"].strip() for image in images), images
