"""The grader's pages in a browser: what a hostile answer prints is shown and does nothing."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from browsing import ROOT, serious
from coursekit.authoring.generate import tagged
from coursekit.authoring.notebooks import read_py
from coursekit.exercises.task import load_exercise
from coursekit.grading import cli

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLUG = "02_vae"
PHONE = {"width": 390, "height": 844}
# Each of these would leave a mark in the page if it ran, or ask another host for something.
HOSTILE = [
    "<script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 1'>",
    "</pre></details><svg onload='window.owned = 1'>",
    "<a href='javascript:window.owned = 1'>click</a>",
    "<iframe srcdoc='<script>parent.owned = 1</script>'></iframe>",
    "<link rel=stylesheet href=http://198.51.100.7/a.css><img src=http://198.51.100.7/a.png>",
    "<meta http-equiv=refresh content='0;url=http://198.51.100.7/'>",
    "\u202egnp.exe \x1b[31mred\x1b[0m \x00",
]
NAME = "<img src=x onerror=window.owned=1>"
WIDE = "x" * 3000


def submission(answers: dict[str, str]) -> Any:
    """The exercise's notebook with some answer cells filled in."""
    notebook = nbformat.read(ROOT / "exercises" / f"{SLUG}.ipynb", as_version=4)
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            cell.source = answers.get(tag, cell.source)
    return notebook


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five students graded: two with one answer, one mistake, nothing done, a hostile one."""
    folder = tmp_path_factory.mktemp("grader")
    solution = read_py(ROOT / "solutions" / f"{SLUG}.py")
    exercise = load_exercise(ROOT / "solutions" / "checks" / SLUG)
    right = {f"answer-{task}": tagged(solution, f"answer-{task}")[0] for task in exercise.tasks}
    first, second, *_, last = exercise.tasks
    same = {f"answer-{last}": exercise.variants[last][0].source}  # two who write this did not do it alone
    prints = f"for text in {[*HOSTILE, WIDE]!r}:\n    print(text)\n"
    raises = f"raise RuntimeError({' '.join(HOSTILE[:3])!r})"
    handed_in = {
        "Ada Lovelace": right | same,
        "Grace Hopper": right | same,
        "Zoë 王小明": right | {f"answer-{first}": exercise.wrong[first][0].source},
        "Nobody Yet": {},
        NAME: {f"answer-{first}": prints + right[f"answer-{first}"], f"answer-{second}": prints + raises},
    }
    for name, answers in handed_in.items():
        (folder / "in" / name).mkdir(parents=True)
        nbformat.write(submission(answers), folder / "in" / name / f"{SLUG}.ipynb")
    (folder / "in" / "Ada Lovelace" / "holiday.txt").write_text("no notebook")
    options = ["--out", str(folder / "out"), "--root", str(ROOT), "--jobs", "1", "--quiet"]
    status = cli.main([str(folder / "in"), *options])
    if status != cli.DONE and os.environ.get("CI") != "true":
        pytest.skip("no sandbox on this machine: on Debian, `apt install bubblewrap`")
    assert status == cli.DONE
    return folder / "out"


@contextlib.contextmanager
def watched(browser: Any, path: Path, **options: Any) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page opened as an instructor opens it, from the disk; with the errors and the foreign requests."""
    context = browser.new_context(viewport={"width": 1100, "height": 900}, **options)
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: (errors.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: requests.append(request.url))
    try:
        page.goto(path.as_uri())
        page.wait_for_timeout(200)
        yield page, errors, [url for url in requests if url != path.as_uri()]
    finally:
        context.close()


def pages(results: Path) -> list[Path]:
    found = [results / "index.html", *sorted((results / "students").glob("*.html"))]
    assert len(found) == 6
    return found


def test_nothing_that_a_student_wrote_runs(browser: Any, results: Path) -> None:
    shown = ""
    for path in pages(results):
        with watched(browser, path) as (page, errors, requests):
            assert page.evaluate("() => window.owned") is None
            assert page.locator("script, iframe, img, link, a[href^='javascript']").count() == 0
            assert not errors
            assert not requests
            for summary in page.locator("summary").all():
                summary.click()
            shown += page.locator("body").inner_text()
            assert page.evaluate("() => window.owned") is None
    for text in [*HOSTILE[:-1], NAME, WIDE]:
        assert text in shown, f"is not shown as it is: {text}"


def test_an_answer_that_prints_nothing_has_nothing_to_show(browser: Any, results: Path) -> None:
    (path,) = (results / "students").glob("Ada-Lovelace*.html")
    with watched(browser, path) as (page, _, _requests):
        assert "What it printed" not in page.locator("body").inner_text()


def test_even_a_script_that_got_in_would_not_run(browser: Any, results: Path, tmp_path: Path) -> None:
    """The policy of the page forbids it, whatever the escaping lets through."""
    text = (results / "index.html").read_text(encoding="utf-8")
    path = tmp_path / "index.html"
    path.write_text(text.replace("<main>", f"<main>{HOSTILE[0]}{HOSTILE[1]}"), encoding="utf-8")
    with watched(browser, path) as (page, _, _requests):
        assert page.evaluate("() => window.owned") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, results: Path, scheme: str, screenshots: Path) -> None:
    found = []
    for path in pages(results):
        with watched(browser, path, color_scheme=scheme) as (page, _, _requests):
            for summary in page.locator("summary").all():
                summary.click()
            found += [f"{path.name}: {finding}" for finding in serious(page)]
            page.screenshot(path=str(screenshots / f"grader-{path.stem}-{scheme}.png"), full_page=True)
    assert not found, "\n".join(found)


def test_the_pages_fit_a_telephone(browser: Any, results: Path, screenshots: Path) -> None:
    for path in pages(results):
        with watched(browser, path) as (page, _, _requests):
            page.set_viewport_size(PHONE)
            for summary in page.locator("summary").all():
                summary.click()
            page.screenshot(path=str(screenshots / f"grader-{path.stem}-phone.png"), full_page=True)
            assert page.evaluate("() => document.scrollingElement.scrollWidth") <= PHONE["width"], path.name


def test_the_summary_leads_to_every_student_and_names_equal_answers(browser: Any, results: Path) -> None:
    with watched(browser, results / "index.html") as (page, _, _requests):
        text = page.locator("body").inner_text()
        assert "Ada Lovelace and Grace Hopper" in text or "Grace Hopper and Ada Lovelace" in text
        assert "5 submissions, 5 students" in text
        links = page.locator("section:last-of-type table a")
        assert links.count() == 5
        for index in range(links.count()):
            name = links.nth(index).inner_text()
            links.nth(index).click()
            assert page.locator("h1").inner_text() == name
            page.go_back()
