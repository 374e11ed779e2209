"""What every stored chapter keeps to: it ran, its cells are short, its pictures have a text alternative."""

import pkgutil
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from coursekit.authoring.notebooks import Pair, find_pairs, read_ipynb
from coursekit.reading.source import source_of

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = [pair for pair in find_pairs(ROOT) if pair.py.parent.name == "chapters"]

MOST_LINES = 25
MACHINE_PATH = re.compile(
    r"(?<![\w./~-])/(?:home|root|Users|tmp|work|var|opt|mnt|private|content)/|[A-Z]:\\|site-packages"
)
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
DATA_URI = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")


class Images(HTMLParser):
    """The alternative text of every <img> of a piece of HTML (None: it has none)."""

    def __init__(self, text):
        super().__init__()
        self.alts = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.alts.append(dict(attrs).get("alt"))


def problems_of(notebook):
    """What is wrong with a stored notebook, a text for each cell and fault."""
    found = []
    code = [(n, cell) for n, cell in enumerate(notebook.cells, start=1) if cell.cell_type == "code"]
    for n, cell in code:
        lines = len(cell.source.splitlines())
        if lines > MOST_LINES:
            found.append(f"cell {n} has {lines} lines, at most {MOST_LINES}")
        if cell.source.strip() and cell.execution_count is None:
            found.append(f"cell {n} was not run")
        for output in cell.outputs:
            found += [f"cell {n}: {fault}" for fault in faults_of(output)]
    counts = [cell.execution_count for _, cell in code if cell.execution_count is not None]
    if counts != list(range(1, len(counts) + 1)):
        found.append(f"the cells were not run once, in order, in a fresh kernel: {counts}")
    return found


def faults_of(output):
    if output.output_type == "error":
        return [f"raised {output.ename}"]
    data = output.get("data", {})
    text = "\n".join(
        [str(output.get("text", "")), *(str(v) for k, v in data.items() if k.startswith("text/"))]
    )
    text = DATA_URI.sub("", text)
    found = []
    if output.get("name") == "stderr":
        found.append("stderr is stored")
    for pattern, what in ((MACHINE_PATH, "a path of this machine"), (ADDRESS, "an address in memory")):
        if match := pattern.search(text):
            found.append(f"{what} is stored: ...{text[max(0, match.start() - 20) : match.end() + 30]!r}")
    if 'class="dgm-source"' in data.get("text/html", "") and not is_current(data["text/plain"]):
        found.append("show() displays source that has changed since")
    alts = Images(data.get("text/html", "")).alts
    if any(not alt or not alt.strip() or alt == "Image" for alt in alts):
        found.append("an <img> without alternative text")
    pictures = [mime for mime in data if mime.startswith("image/")]
    if (pictures or alts) and not re.search(r'class="dgm-(figure|frames)\b', data.get("text/html", "")):
        found.append("a picture that did not go through figure() or frames()")
    if pictures and not output.metadata.get("image/png", {}).get("alt"):
        found.append("an image/png without alternative text in its metadata")
    if pictures and not output.metadata.get("image/png", {}).get("caption"):
        found.append("a figure without a caption")
    return found


def is_current(shown):
    """Whether what show() stored, `# name · file:line` and the source, is still the library's source."""
    head, _, source = shown.partition("\n")
    name, _, place = head.removeprefix("# ").partition(" · ")
    if place == "this notebook":
        return True
    try:
        obj = pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return source in (source_of(obj), source_of(obj, doc=True))


@pytest.mark.parametrize("pair", CHAPTERS, ids=lambda pair: pair.name)
def test_stored_chapter_is_in_order(pair: Pair):
    assert pair.ipynb.exists(), f"run `make run CHAPTER={pair.py.stem}`"
    notebook = read_ipynb(pair.ipynb)
    nbformat.validate(notebook)
    found = problems_of(notebook)
    assert not found, f"{pair.name}: mend the .py, then `make run CHAPTER={pair.py.stem}`\n" + "\n".join(
        found
    )


# The checks above must be able to fail.

FIGURE = {
    "data": {"text/html": '<figure class="dgm-figure"><img alt="A bump"></figure>', "image/png": "AA"},
    "metadata": {"image/png": {"alt": "A bump", "caption": "One bump."}},
}


def notebook_with(source="1", count=1, **output):
    cell = nbformat.v4.new_code_cell(source, execution_count=count)
    if output:
        cell.outputs = [nbformat.v4.new_output(**{"output_type": "display_data", **output})]
    return nbformat.v4.new_notebook(cells=[cell])


def test_a_notebook_in_order_has_no_problems():
    assert problems_of(notebook_with("\n".join(["1"] * 25))) == []
    assert problems_of(notebook_with(**FIGURE)) == []
    assert (
        problems_of(notebook_with(output_type="stream", name="stdout", text="1/2, ~/data, ./tmp/x\n")) == []
    )


@pytest.mark.parametrize(
    ("notebook", "message"),
    [
        (notebook_with("\n".join(["1"] * 26)), "cell 1 has 26 lines, at most 25"),
        (notebook_with(count=None), "cell 1 was not run"),
        (notebook_with(count=3), "not run once, in order"),
        (notebook_with(output_type="error", ename="KeyError", evalue="", traceback=[]), "raised KeyError"),
        (notebook_with(output_type="stream", name="stderr", text="warning"), "stderr is stored"),
        (notebook_with(output_type="stream", name="stdout", text="/home/me/x"), "a path of this machine"),
        (notebook_with(data={"text/plain": "<function f at 0x7f3a2b1c>"}), "an address in memory"),
        (notebook_with(data={"image/png": "AA"}), "did not go through figure"),
        (notebook_with(data={"text/html": "<img alt='x'>"}), "did not go through figure"),
        (notebook_with(data={"text/html": '<p class="dgm-figure"><img>'}), "without alternative"),
        (notebook_with(**{**FIGURE, "metadata": {}}), "without alternative text in its metadata"),
        (notebook_with(**{**FIGURE, "metadata": {"image/png": {"alt": "A bump"}}}), "without a caption"),
    ],
)  # fmt: skip
def test_every_fault_is_reported(notebook, message):
    assert any(message in problem for problem in problems_of(notebook))


def test_source_that_has_changed_since_is_reported():
    name = "coursekit.reading.budgets.budget"
    shown = f"# {name} · coursekit/reading/budgets.py:1\n{source_of(pkgutil.resolve_name(name))}"
    html = '<div class="dgm-source"></div>'
    assert problems_of(notebook_with(data={"text/html": html, "text/plain": shown})) == []
    for stale in (shown.replace("cpu if", "full if"), shown.replace(name, name + "_gone")):
        (problem,) = problems_of(notebook_with(data={"text/html": html, "text/plain": stale}))
        assert "has changed since" in problem


def test_pictures_are_not_searched_for_paths():
    img = '<img alt="A" src="data:image/webp;base64,/tmp/AA/home/=">'
    data = {"text/html": f'<figure class="dgm-figure">{img}</figure>'}
    assert problems_of(notebook_with(data=data)) == []
