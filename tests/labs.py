"""JupyterLab driven as a student does: a notebook opened, run, edited, saved."""

import contextlib
import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOKEN = "test"
# Only the cells on the screen are in the page otherwise, and a test could not see the others.
SETTINGS = '{"windowingMode": "none"}'
SECONDS_TO_OPEN = 180
SECONDS_TO_RUN = 600

# The prompts of the code cells: "[ ]:" not run, "[*]:" running or waiting, "[3]:" done.
PROMPTS = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].map(
    cell => cell.querySelector('.jp-InputPrompt').textContent.trim())"""
STARTED = f"() => ({PROMPTS})().some(prompt => /[*0-9]/.test(prompt))"
ENDED = f"() => !({PROMPTS})().some(prompt => prompt.includes('*'))"
ERRORS = """() => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output')]
    .map(output => output.textContent).filter(text => text.includes('Traceback (most recent call last)'))"""
RENDERED = """() => { const cells = [...document.querySelectorAll('.jp-Notebook .jp-MarkdownCell')];
    return cells.length > 0 && cells.every(cell => cell.querySelector('.myst')); }"""


@dataclass
class Opened:
    """A notebook in its tab, its kernel idle, its text rendered."""

    page: Any
    hosts: set[str] = field(default_factory=set)  # that the page asked for anything
    errors: list[str] = field(default_factory=list)  # of the console and of scripts

    def run_all(self) -> None:
        """Run > Run All Cells, and wait until the last cell has run or one has failed."""
        started = False
        for _ in range(10):  # JupyterLab drops what is asked of it in the first moments
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            with contextlib.suppress(Exception):
                self.page.wait_for_function(STARTED, timeout=6000)
            started = self.page.evaluate(STARTED)
            if started:
                break
            self.page.keyboard.press("Escape")  # a dialog that asks for a kernel
        assert started, "Run All Cells runs nothing"
        self.page.wait_for_function(ENDED, timeout=SECONDS_TO_RUN * 1000, polling=500)
        prompts = self.page.evaluate(PROMPTS)
        tracebacks = self.page.evaluate(ERRORS)
        assert not tracebacks, "\n".join(tracebacks)
        assert all(re.search(r"\d", prompt) for prompt in prompts), f"cells that were not run: {prompts}"

    def save(self) -> None:
        """Ctrl+S, and wait until the tab no longer says that there is something to save."""
        with self.page.expect_response(
            lambda response: response.request.method == "PUT" and "/api/contents/" in response.url,
            timeout=SECONDS_TO_OPEN * 1000,
        ) as answer:
            self.page.keyboard.press("Control+s")
        assert answer.value.ok, f"{answer.value.status}: {answer.value.text()[:2000]}"

    def tall(self, width: int = 1100) -> None:
        """A window as high as the notebook (within Chromium's limit), so that a picture shows all of it."""
        height = self.page.evaluate(
            "() => Math.max("
            "...Array.from(document.querySelectorAll('.jp-NotebookPanel *'), e => e.scrollHeight))"
        )
        self.page.set_viewport_size({"width": width, "height": min(height + 200, 15_000)})
        self.page.evaluate("() => document.querySelector('.jp-Notebook .jp-Cell').scrollIntoView()")
        self.page.wait_for_timeout(1000)


@dataclass
class Lab:
    """The server: its address, the folder that it serves, and a browser to look with."""

    address: str
    root: Path
    browser: Any

    @contextlib.contextmanager
    def opened(self, notebook: str) -> Iterator[Opened]:
        """Open a notebook (a path below the root); afterwards close it and end its kernel."""
        context = self.browser.new_context(viewport={"width": 1400, "height": 1000})
        page = context.new_page()
        opened = Opened(page)
        page.on("request", lambda request: opened.hosts.add(request.url.split("/")[2]))
        page.on("console", lambda m: opened.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        limit = SECONDS_TO_OPEN * 1000
        try:
            page.goto(f"{self.address}/lab/tree/{notebook}?token={TOKEN}&reset", timeout=limit)
            dialog = page.locator(".jp-Dialog")
            page.locator(".jp-Notebook .jp-CodeCell").first.or_(dialog).wait_for(timeout=limit)
            assert not dialog.count(), f"{notebook}: {dialog.inner_text()[:2000]}"
            page.wait_for_selector("text=/[|] Idle/", timeout=limit)  # in the status bar: the kernel is ready
            page.wait_for_function(RENDERED, timeout=limit)
            yield opened
        finally:
            context.close()
            self.end_kernels()

    def end_kernels(self) -> None:
        for session in json.loads(self._ask("GET", "sessions")):
            self._ask("DELETE", f"sessions/{session['id']}")

    def _ask(self, method: str, what: str) -> bytes:
        request = urllib.request.Request(
            f"{self.address}/api/{what}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())
