"""The notebooks as a student meets them: `make lab`, Chromium, the mouse and the keyboard.

Every chapter and every exercise is opened: the right kernel, no dialog, no raw markup. Three chapters are
run to their ends, their sliders are moved, an exercise is checked, and an edited chapter is saved.
"""

import difflib
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from browsing import ROOT, serious
from coursekit.authoring import pairs
from coursekit.authoring.generate import tagged
from coursekit.authoring.notebooks import find_pairs, read_ipynb, read_py
from coursekit.exercises.task import load_exercise
from labs import Lab

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NOTEBOOKS = [pair.ipynb for pair in find_pairs(ROOT) if pair.py.parent.name in ("chapters", "exercises")]
# The cheapest three whose outputs are of every kind: figures, sliders, listings, tables, progress bars.
TO_RUN = ("00_start", "01_autoencoder", "02_vae")

# What a reader sees of each markdown cell, without code; a formula that KaTeX cannot read stays as it is.
TEXTS = """() => [...document.querySelectorAll('.jp-Notebook .jp-MarkdownCell .myst')].map(cell => {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll('.katex, code, pre').forEach(element => element.remove());
    return copy.textContent; })"""
RAW = re.compile(r"\$\$|\{[a-z:]+\}`|:::|\\[A-Za-z]+|\]\(|\*\*|`|\?\?")
COUNT = "selector => document.querySelectorAll('.jp-Notebook ' + selector).length"
CAPTIONS = """() => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output figcaption')].map(
    caption => caption.textContent)"""
NOT_FOUND = """() => [...document.querySelectorAll('.jp-Notebook [title$="Not Found"]')].map(
    element => element.title + ': ' + element.textContent)"""
IMAGES = """() => [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output img')].filter(
    image => !image.closest('[hidden]')).map(
    image => ({alt: image.alt, width: image.complete ? image.naturalWidth : 0}))"""


def markdown(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_notebook_opens_with_its_kernel_and_without_raw_markup(lab: Lab, path: Path) -> None:
    text = markdown(nbformat.read(path, as_version=4))
    with lab.opened(f"{path.parent.name}/{path.name}") as opened:
        page = opened.page
        kernel = page.locator(".jp-NotebookPanel .jp-KernelName").inner_text()
        shown = page.evaluate(TEXTS)
        equations = page.evaluate(COUNT, "[title='Link to this Equation']")
        folded = page.evaluate(COUNT, "details.myst-admonition")
        not_found = page.evaluate(NOT_FOUND)
        assert kernel == "Python 3 (ipykernel)"
        assert opened.hosts == {lab.address.removeprefix("http://")}, "asked another host"
        assert not opened.errors, opened.errors
    raw = [part[max(0, m.start() - 40) : m.end() + 40] for part in shown for m in RAW.finditer(part)]
    assert not raw, raw
    assert equations >= len(re.findall(r"\$\$ \([a-z0-9-]+\)", text))
    assert folded == len(re.findall(r"^:::\{admonition\}", text, re.M))
    assert not not_found, not_found


def move_sliders(page: Any) -> int:
    """Move every slider by the keyboard as a student would; gives how many there are."""
    boxes = page.locator(".jp-Notebook .dgm-frames")
    for index in range(boxes.count()):
        box = boxes.nth(index)
        slider, image, output = box.locator("input"), box.locator("img").first, box.locator("output")
        box.scroll_into_view_if_needed()
        assert slider.is_visible(), f"slider {index} does not show"
        assert box.locator("details").is_hidden(), f"the frames of slider {index} are not folded away"
        slider.focus()
        page.keyboard.press("Home")
        seen = []
        for _ in range(int(slider.get_attribute("max") or 0) + 1):
            width = image.evaluate("async image => { await image.decode(); return image.naturalWidth; }")
            assert width > 0
            said = slider.get_attribute("aria-valuetext")
            assert said == output.inner_text()
            seen.append((said, image.get_attribute("src"), image.get_attribute("alt")))
            page.keyboard.press("ArrowRight")
        values, pictures, texts = (set(part) for part in zip(*seen, strict=True))
        assert len(values) == len(texts) == len(seen)
        # Two values may look alike: a receptive field that has reached the border.
        assert len(pictures) >= len(seen) - 1, f"slider {index}: {len(pictures)} pictures"
        page.keyboard.press("End")
        assert slider.get_attribute("aria-valuetext") == seen[-1][0]
    return int(boxes.count())


@pytest.mark.parametrize("name", TO_RUN)
def test_a_chapter_runs_to_its_end_and_its_sliders_move(lab: Lab, name: str, screenshots: Path) -> None:
    """From empty outputs, so that nothing shown is left from an earlier run."""
    source = nbformat.read(ROOT / "chapters" / f"{name}.ipynb", as_version=4)
    for cell in source.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(source, lab.root / "chapters" / f"{name}.ipynb")
    calls = {
        word: sum(len(re.findall(rf"^{word}\(", c.source, re.M)) for c in source.cells)
        for word in ("figure", "frames")
    }
    with lab.opened(f"chapters/{name}.ipynb") as opened:
        try:
            opened.run_all()
            images = opened.page.evaluate(IMAGES)
            captions = opened.page.evaluate(CAPTIONS)
            sliders = move_sliders(opened.page)
        finally:
            opened.tall()
            opened.page.screenshot(path=str(screenshots / f"lab-{name}.png"))
        assert not opened.errors, opened.errors
    always = calls["figure"] + calls["frames"]  # a picture in an `if` is drawn where a result is stored
    assert len(captions) == len(set(captions)) >= always
    assert sliders >= max(calls["frames"], 1)
    assert len(images) >= always
    assert all(image["width"] > 0 and image["alt"].strip() for image in images), images


def test_links_lead_to_the_work_and_to_the_other_chapter(lab: Lab) -> None:
    """What the book makes a citation and a numbered reference is a plain link here."""
    work = "https://arxiv.org/abs/1312.6114"
    text = f"By [Kingma and Welling 2014]({work}), see [the bound](02_vae.ipynb#vae-iwae)."
    cells = [nbformat.v4.new_markdown_cell(text), nbformat.v4.new_code_cell("1")]
    like = nbformat.read(ROOT / "chapters" / "02_vae.ipynb", as_version=4)
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=like.metadata)
    nbformat.write(notebook, lab.root / "chapters" / "links.ipynb")
    with lab.opened("chapters/links.ipynb") as opened:
        page = opened.page
        cited = page.locator(".jp-Notebook a", has_text="Kingma and Welling 2014")
        assert cited.get_attribute("href") == work
        assert cited.get_attribute("target") == "_blank"
        page.locator(".jp-Notebook a", has_text="the bound").click()
        page.locator(".lm-TabBar-tabLabel", has_text="02_vae.ipynb").wait_for()
        page.locator(".jp-NotebookPanel:visible h1", has_text="Variational autoencoders").wait_for()
        assert not opened.errors, opened.errors


EXERCISE = "02_vae"
BOXES = """() => Object.fromEntries([...document.querySelectorAll('.jp-Notebook .jp-OutputArea [role=group]')]
    .map(box => [box.getAttribute('aria-label'), box.innerText]))"""


def test_an_exercise_checks_hints_and_counts(lab: Lab, screenshots: Path) -> None:
    """One answer right, one wrong, the others not begun; a hint asked for."""
    exercise = load_exercise(ROOT / "solutions" / "checks" / EXERCISE)
    tasks = list(exercise.tasks.values())
    right, wrong, untouched = tasks[0], tasks[1], tasks[2:]
    notebook = nbformat.read(ROOT / "exercises" / f"{EXERCISE}.ipynb", as_version=4)
    solution = read_py(ROOT / "solutions" / f"{EXERCISE}.py")
    answers = {f"answer-{right.name}": tagged(solution, f"answer-{right.name}")[0]}
    mistake = exercise.wrong[wrong.name][0]
    answers[f"answer-{wrong.name}"] = mistake.source
    for cell in notebook.cells:
        for tag in cell.metadata.get("tags", []):
            cell.source = answers.get(tag, cell.source)
    notebook.cells.insert(-1, nbformat.v4.new_code_cell(f'hint("{wrong.name}")'))
    nbformat.write(notebook, lab.root / "exercises" / f"{EXERCISE}.ipynb")

    with lab.opened(f"exercises/{EXERCISE}.ipynb") as opened:
        try:
            opened.run_all()
            boxes = opened.page.evaluate(BOXES)
            findings = serious(opened.page, ".jp-OutputArea [role=group]")
        finally:
            opened.tall()
            opened.page.screenshot(path=str(screenshots / f"lab-exercise-{EXERCISE}.png"))
        assert not opened.errors, opened.errors
    assert not findings, "\n".join(findings)
    opening = boxes[f"Exercise {EXERCISE}: {len(tasks)} tasks, {exercise.points} points"]
    assert all(f"{task.name} ({task.points} points)" in opening for task in tasks)
    passed = boxes[f"Result of {right.name}"]
    assert f"✓ {right.name}: passed, {right.visible_points} of {right.visible_points} points" in passed
    assert passed.count("✓ passed") == len(right.criteria)
    failed = boxes[f"Result of {wrong.name}"]
    assert "✗ not yet" in failed
    assert re.search(rf"{wrong.name}: (partly right|not yet), \d+ of {wrong.visible_points} points", failed)
    for task in untouched:
        assert f"{task.name}: not " in boxes[f"Result of {task.name}"]
    assert f"{wrong.name}: hint 1 of {len(wrong.hints)}" in boxes
    assert f"{EXERCISE}: 1 of {len(tasks)} tasks passed" in boxes["Progress"]
    assert all(task.name in boxes["Progress"] for task in tasks)


def test_a_chapter_edited_and_saved_stays_one_notebook(lab: Lab) -> None:
    """An edit in JupyterLab reaches the .py, which else stays as it was, to the byte; outputs stay too."""
    (pair,) = find_pairs(lab.root, ["chapters/03_gan"])
    before, outputs = pair.py.read_text(), [cell.get("outputs") for cell in read_ipynb(pair.ipynb).cells]
    with lab.opened("chapters/03_gan.ipynb") as opened:
        page = opened.page
        opened.save()
        assert pair.py.read_text() == before, "saved without an edit, the .py changes"
        cell = page.locator(".jp-Notebook .jp-MarkdownCell").first
        cell.locator("h1").dblclick()
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+Home")
        page.keyboard.press("End")
        page.keyboard.type(" EDITED TITLE")
        page.keyboard.press("Control+Enter")
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+End")
        page.keyboard.type("\nx_added = 1")
        page.keyboard.press("Escape")
        opened.save()
        assert not page.locator(".jp-Dialog").count()
    assert not pairs.differences(pair)
    assert pairs.state_of(pair) is pairs.State.SAME
    saved = read_ipynb(pair.ipynb)
    assert saved.cells[0].source.splitlines()[0].endswith(" EDITED TITLE")
    assert [cell.get("outputs") for cell in saved.cells] == outputs
    changed = list(difflib.ndiff(before.splitlines(), pair.py.read_text().splitlines()))
    added = [line[2:] for line in changed if line.startswith("+ ")]
    removed = [line[2:] for line in changed if line.startswith("- ")]
    assert len(removed) == 1
    assert added == [f"{removed[0]} EDITED TITLE", "x_added = 1"]
    # And the author's own command finds nothing to carry over.
    pairs.write(pair)
    assert pairs.state_of(pair) is pairs.State.SAME
    assert [cell.get("outputs") for cell in read_ipynb(pair.ipynb).cells] == outputs
