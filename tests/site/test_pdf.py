"""The printed book: what becomes of outputs, what LaTeX needs, and a small PDF."""

import ast
import base64
import html
import io
import json
import os
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import build as site
import paper
import pdf
import pytest
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document
from extensions import printing
from matplotlib import pyplot as plt
from PIL import Image
from sphinx import addnodes

from coursekit.authoring.equations import equations
from coursekit.reading import figures, slider, source

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "02_vae"


# --- what becomes of code and outputs ---------------------------------------------------------------------


def bundle_of(shown: figures.Displayed) -> nodes.container:
    """An output as MyST-NB hands it on: a container with every form of it."""
    document = new_document("test", get_default_settings())
    cell = nodes.container(nb_element="cell_code_output", classes=["cell_output"])
    bundle = nodes.container(nb_element="mime_bundle")
    for mime, content in shown.data.items():
        form = nodes.container(mime_type=mime)
        if mime == "image/png":
            form += nodes.image(uri="x.png", width="576px", height="288px")
        elif mime == "text/plain":
            form += nodes.literal_block(content, content, language="myst-ansi")
        else:
            form += nodes.raw("", content, format="html")
        bundle += form
    document += cell
    cell += bundle
    return bundle


def displayed(monkeypatch: pytest.MonkeyPatch, module: Any, call: Any) -> figures.Displayed:
    """What a function of coursekit displays."""
    shown: list[figures.Displayed] = []
    monkeypatch.setattr(module, "display", shown.append)
    call()
    (only,) = shown
    return only


def a_figure(value: float = 0.0) -> Any:
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, value])
    return fig


def test_a_slider_keeps_one_picture_and_says_where_it_stands(monkeypatch):
    shown = displayed(
        monkeypatch,
        slider,
        lambda: slider.frames(
            a_figure, [0.5, 1.0, 2.0], label="β & γ", unit="nats", alt=lambda v: f"At {v}.", start=1.0
        ),
    )
    bundle = bundle_of(shown)
    printing.fit_output(bundle)
    (image,) = bundle.findall(nodes.image)
    assert image["alt"] == "At 1.0."
    assert image["stands"] == "“β & γ” at 1 nats"
    assert "width" not in image
    assert "height" not in image


def test_the_picture_of_a_slider_is_its_start_frame(monkeypatch):
    frames = displayed(
        monkeypatch,
        slider,
        lambda: slider.frames(a_figure, [0.0, 1.0], label="b", alt=lambda v: f"At {v}.", start=1.0),
    )
    alone = displayed(monkeypatch, figures, lambda: figures.figure(a_figure(1.0), alt="At 1."))
    assert frames.data["image/png"] == alone.data["image/png"]


def test_a_figure_keeps_its_text_alternative(monkeypatch):
    alt = 'Two <lines> & a "bar", 3 < 4.'
    shown = displayed(monkeypatch, figures, lambda: figures.figure(a_figure(), alt=alt, caption="Lines."))
    bundle = bundle_of(shown)
    printing.fit_output(bundle)
    (image,) = bundle.findall(nodes.image)
    assert (image["alt"], image["stands"]) == (alt, "")


def test_a_widget_is_left_out():
    bundle = bundle_of(figures.Displayed({printing.WIDGET: "{}", "text/plain": "IntSlider(value=3)"}, {}))
    cell = bundle.parent
    printing.fit_output(bundle)
    assert cell.astext() == ""
    assert not list(cell.findall(nodes.container))[1:]


def test_source_that_is_shown_is_set_as_code(monkeypatch):
    bundle = bundle_of(displayed(monkeypatch, source, lambda: source.show(printing.merge_printed)))
    printing.fit_output(bundle)
    (block,) = bundle.findall(nodes.literal_block)
    assert block["language"] == "python"


def test_lines_that_a_cell_printed_come_in_one_block():
    def block(text: str, language: str = "myst-ansi") -> nodes.literal_block:
        return nodes.literal_block(text, text, language=language, classes=["output"])

    cell = nodes.container("", block("a\n"), block("b"), nodes.image(), block("c"), block("x = 1", "python"))
    printing.merge_printed(cell)
    assert [child.astext() for child in cell] == ["a\nb", "", "c", "x = 1"]
    assert cell[0].rawsource == "a\nb"
    assert cell[0]["classes"] == ["output"]


@pytest.mark.parametrize(
    ("lines", "width", "children"), [(2, 110, 1), (2, 111, 3), (2, 140, 3), (2, 141, 1), (1, 120, 1)]
)
def test_a_wide_table_is_set_smaller_and_a_long_line_is_not(lines, width, children):
    text = "short\n" + "\n".join(["x" * width] * lines)
    cell = nodes.container("", nodes.literal_block(text, text, language="myst-ansi"))
    printing.shrink_printed(cell)
    assert len(cell) == children
    if children == 3:
        size = float(re.search(r"fontsize\{([\d.]+)\}", cell[0].astext())[1])
        assert size * width == pytest.approx(9 * printing.WIDTH, rel=1e-3)
        assert cell[2].astext() == r"\endgroup"


def a_table(rows: int, columns: int = 1) -> nodes.table:
    def row() -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "1")) for _ in range(columns)))

    return nodes.table("", nodes.tgroup("", nodes.tbody("", *(row() for _ in range(rows))), cols=columns))


@pytest.mark.parametrize(
    ("rows", "columns", "size"),
    [
        (printing.LONG, printing.MANY, None),
        (printing.LONG + 1, printing.MANY, "small"),
        (printing.LONG + 1, printing.MANY + 1, "footnotesize"),
    ],
)
def test_a_table_stays_below_its_heading_and_a_large_one_is_set_smaller(rows, columns, size):
    heading = nodes.paragraph("", "", nodes.Text(""), nodes.strong("", "Speed"), nodes.Text(""))
    section = nodes.section("", nodes.paragraph("", "Text."), heading, table := a_table(rows, columns))
    printing.keep_together(table)
    lines = int(re.search(r"needspace\{(\d+)\\baselineskip", section[1].astext())[1])
    assert rows + 4 < lines < 2 * rows
    assert section[2] is heading
    if size is None:
        assert section[3:] == [table]
    else:
        assert rf"\begingroup\{size}" in section[3].astext()
        assert [section[4], section[5].astext()] == [table, r"\endgroup"]


@pytest.mark.parametrize(
    "words", [[], [nodes.paragraph("", "", nodes.strong("", "So"), nodes.Text(" it is."))]]
)
def test_a_table_without_a_heading_is_left_as_it_is(words):
    section = nodes.section("", *words, table := a_table(3))
    printing.keep_together(table)
    assert section.children == [*words, table]


@pytest.mark.parametrize("path", sorted((ROOT / "solutions").glob("[0-9]*.py")), ids=lambda path: path.stem)
def test_an_exercise_ends_with_the_section_that_is_not_printed(path):
    headings = re.findall(r"^# ## (.*)$", path.read_text(encoding="utf-8"), re.M)
    assert headings[-1] == printing.PROGRESS


CELLS = [
    pytest.param(code, id=f"{path.parent.name}-{path.stem}-{index}")
    for path in (ROOT / "chapters" / "02_vae.ipynb", ROOT / "chapters" / "09_autoregressive.ipynb")
    for index, code in enumerate(
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    )
    if "alt=" in code
]


@pytest.mark.parametrize("code", CELLS)
def test_code_on_paper_differs_in_the_words_under_its_figures_only(code):
    def without_alt(text: str) -> str:
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg in ("alt", "caption"):
                node.value = ast.Constant(...)
        return ast.dump(tree)

    short = printing.shorter(code)
    assert without_alt(short) == without_alt(code)
    assert "alt=..." in short
    assert 'alt="' not in short
    assert 'caption="' not in short
    assert "alt=lambda" not in short
    assert "\n\n\n" not in short
    assert max(map(len, short.splitlines())) <= printing.WIDTH


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('figure(fig, alt="A line.")', "figure(fig, alt=...)"),
        ('frames(f, v, alt=str, caption=f"{n}.")', "frames(f, v, alt=..., caption=...)"),
        (
            'if x:\n    figure(\n        f,\n        alt="é — ü",\n    )\ny = 1',
            "if x:\n    figure(f, alt=...)\ny = 1",
        ),
        ('plot(alt="kept")', 'plot(alt="kept")'),
        ("%matplotlib inline\n\n\n\nx", "%matplotlib inline\n\n\n\nx"),
        ('"""\n\n\nA text."""', '"""\n\nA text."""'),
    ],
    ids=["line", "caption", "block", "other-function", "not-python", "blank-lines"],
)
def test_code_on_paper(code, expected):
    assert printing.shorter(code) == expected


# --- the sources and the tools ----------------------------------------------------------------------------


def test_the_book_has_every_chapter_and_exercise_in_order(monkeypatch):
    made = {
        name: b"" for name in ("reference/glossary.md", "reference/dgm/index.md", "reference/equations.md")
    }
    monkeypatch.setattr(site, "generated", lambda edition: made)
    tree = pdf.tree("student")
    index = tree["index.md"].decode()
    slugs = sorted(path.stem for path in (ROOT / "chapters").glob("[0-9]*.py"))
    for folder in ("chapters", "exercises"):
        assert re.findall(rf"^{folder}/(\w+)$", index, re.M) == slugs
        assert all(f"{folder}/{slug}.ipynb" in tree for slug in slugs)
    assert re.findall(r"^(reference/.+)$", index, re.M) == ["reference/equations", "reference/glossary"]
    assert "reference/dgm/index.md" in tree  # links lead to it
    assert "<!--" not in index


def test_the_instructors_edition_has_the_solutions():
    student, instructor = pdf.tree("student", [CHAPTER]), pdf.tree("instructor", [CHAPTER])
    name = f"exercises/{CHAPTER}.ipynb"
    assert student[name] == (ROOT / name).read_bytes()
    assert instructor[name] == (ROOT / f"solutions/{CHAPTER}.ipynb").read_bytes()
    assert b"with its solution" in instructor["preface.md"]
    assert b"with its solution" not in student["preface.md"]


def test_the_list_of_equations_escapes_and_keeps_to_the_chapters_chosen():
    page = pdf.tree("student", [CHAPTER])["reference/equations.md"].decode()
    labels = [equation.label for equation in equations(ROOT) if equation.chapter == CHAPTER]
    assert re.findall(r"\\courseequation\{equation:chapters/02_vae:([\w-]+)\}", page) == labels
    assert r"\sphinxupquote{dgm.vae.elbo}" in page
    assert r"\sphinxupquote{test\_vae.py::" in page
    assert paper.code("a_b\\{c}") == r"\sphinxcode{\sphinxupquote{a\_b\textbackslash{}\{c\}}}"


@pytest.mark.parametrize(
    ("tex", "broken"),
    [
        (r"a = b, \qquad c = d.", r"\begin{gathered}a = b, \\[4pt] c = d.\end{gathered}"),
        (r"a \qquad \text{so} \qquad b", r"\begin{gathered}a \\[4pt] \text{so}\quad b\end{gathered}"),
        (r"a = b, \quad c = d.", ""),
        (r"a &= b, \qquad c", ""),
    ],
    ids=["parts", "word", "one", "aligned"],
)
def test_a_wide_display_has_a_form_in_lines(tex, broken):
    translator = SimpleNamespace(body=[], config=SimpleNamespace(math_number_all=False))
    node = nodes.math_block(tex, tex, label="l", docname="d")
    with pytest.raises(nodes.SkipNode):
        printing.visit_math_block(translator, node)
    made = "".join(translator.body)
    assert broken in made
    assert made.startswith("\\coursedisplay{" if broken else "\\begin{equation}\\label{equation:d:l}")


@pytest.mark.parametrize(
    ("term", "expected"),
    [("score", r"\index{score@"), ("得分函数", r"\index{.得分函数@")],
    ids=["english", "chinese"],
)
def test_chinese_terms_stand_together_in_the_index(term, expected):
    translator = SimpleNamespace(body=[], encode=str)
    with pytest.raises(nodes.SkipNode):
        printing.visit_index(translator, addnodes.index(entries=[("single", term, "t", "", None)]))
    assert translator.body == [f"{expected}\\spxentry{{{term}}}}}"]


def test_what_an_equation_defines_and_what_implements_it_stand_in_the_index_once():
    assert r"\courseterm{evidence lower bound}" in printing.index_entries()["vae-elbo-jensen"]
    assert r"\courseterm{cross\sphinxhyphen{}entropy}" in printing.index_entries()["start-cross-entropy"]
    tex = r"a, \qquad b"
    translator = SimpleNamespace(body=[], config=SimpleNamespace(math_number_all=False))
    node = nodes.math_block(tex, tex, label="vae-gaussian-kl", docname="chapters/02_vae")
    with pytest.raises(nodes.SkipNode):
        printing.visit_math_block(translator, node)
    made = "".join(translator.body)
    entry = r"\courseindex{klgaussianstandard}{\sphinxcode{\sphinxupquote{kl\_gaussian\_standard}}}"
    assert entry + r"{\sphinxcode{\sphinxupquote{dgm.prob}}}" in made
    # LaTeX takes one of the two forms of a wide display.
    assert made.count(entry) == made.count(r"\label{equation:chapters/02_vae:vae-gaussian-kl}") == 2


def test_an_unknown_chapter_is_named():
    with pytest.raises(ValueError, match="no chapter is called 02_vea; there are 00_start"):
        pdf.tree("student", ["02_vea"])


def test_what_is_missing_is_named_with_its_package(monkeypatch, capsys):
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None if name == "xelatex" else f"/bin/{name}")
    monkeypatch.setattr(pdf, "_output", lambda *command: "" if "CJK" in command[-1] else "found")
    assert pdf.main([]) == 1
    message = capsys.readouterr().err
    assert "xelatex" in message
    assert "Noto Serif CJK SC" in message
    assert "sudo apt-get install fonts-noto-cjk texlive-xetex\n" in message


def test_a_log_tells_what_is_wrong():
    log = (
        "Overfull \\hbox (2.4pt too wide) in paragraph at lines 1--2\n"
        "Overfull \\hbox (40.5pt too wide) detected at line 7\n"
        "Missing character: There is no ε in font lmr10!\n"
        "LaTeX Warning: Reference `equation:x' on page 3 undefined on input line 5.\n"
        "LaTeX Warning: Label `fig' multiply defined.\n"
        "book.tex:12: Undefined control sequence.\nl.12 \\oops\n"
    )
    assert pdf.overfull(log) == [(40.5, "detected at line 7"), (2.4, "in paragraph at lines 1--2")]
    assert len(pdf.faults(log)) == 3
    assert pdf.first_error(log) == "book.tex:12: Undefined control sequence.\nl.12 \\oops"
    assert pdf.faults("Output written on x.pdf (3 pages).") == []


# --- a small PDF ------------------------------------------------------------------------------------------


def sample() -> bytes:
    """A notebook with one of everything, in the place of the exercises of a chapter."""
    buffer = io.BytesIO()
    Image.new("RGB", (80, 40), "red").save(buffer, "PNG")
    png = base64.b64encode(buffer.getvalue()).decode()

    def code(text: str, *outputs: dict[str, Any]) -> dict[str, Any]:
        shown = [{"output_type": "display_data", "metadata": {}, "data": data} for data in outputs]
        return {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": text, "outputs": shown}

    label = "<label><span>b</span><output>0</output></label>"
    frames = "".join(f'<img data-index="{i}" alt="Frame {i}.">' for i in range(3))
    text = (
        "# Exercises: a sample\n\nThe glossary says: score 得分函数, evidence lower bound 证据下界.\n\n"
        "Signs: σ ε → ≤ ∈ × ‖x‖ ✓ ᾱ.\n\n:::{admonition} Answer\n:class: dropdown\n\nForty-two.\n:::\n\n"
        "## 3. A task (5 points)\n"
    )
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": text},
        code(
            "σ, ε = 1, 2  # " + "→ ≤ ∈ × ‖ᾱ‖ √2 ½ ₁ ² ✓ 得分 " + "x" * 70, {"text/plain": "σ ≤ ‖ε̃‖ → 得分 ✓"}
        ),
        code(
            "slider",
            {
                "text/html": f'<div class="dgm-frames k">{frames}{label}</div>',
                "image/png": png,
                "text/plain": "Slider",
            },
        ),
        code("widget", {printing.WIDGET: {"model_id": "1"}, "text/plain": "IntSlider(value=3)"}),
        {"cell_type": "markdown", "metadata": {}, "source": f"## {printing.PROGRESS}"},
        code("progress()"),
    ]
    notebook = {
        "cells": cells,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook).encode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LaTeX's folder after a chapter and the sample have been set."""
    if lacks := pdf.missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{pdf.advice(lacks)} (.ci/run installs them)")
        pytest.skip(pdf.advice(lacks))
    tree = pdf.tree("student", [CHAPTER]) | {f"exercises/{CHAPTER}.ipynb": sample()}
    out = tmp_path_factory.mktemp("pdf")
    folder = site.build("latex", "student", out, tree=tree, strict=False, further=["-q", "-t", "print"])
    pdf.typeset(folder)
    return folder


def text_of(folder: Path) -> str:
    command = ["pdftotext", "-layout", str(folder / f"{pdf.NAME}.pdf"), "-"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_no_sign_is_missing_and_no_line_runs_into_the_margin(folder):
    log = (folder / f"{pdf.NAME}.log").read_text(encoding="utf-8", errors="replace")
    # The chapter links others, which are not in this book.
    assert [f for f in pdf.faults(log) if ".ipynb'" not in f and ".md'" not in f] == []
    assert [entry for entry in pdf.overfull(log) if entry[0] > pdf.SEEN] == []


@pytest.mark.slow
def test_equations_have_the_numbers_of_the_site(folder):
    auxiliary = (folder / f"{pdf.NAME}.aux").read_text(encoding="utf-8")
    numbers = dict(re.findall(r"\\newlabel\{equation:chapters/\w+:([\w-]+)\}\{\{([\d.]+)\}", auxiliary))
    labels = [equation.label for equation in equations(ROOT) if equation.chapter == CHAPTER]
    assert [numbers[label] for label in labels] == [f"2.{i}" for i in range(1, len(labels) + 1)]


@pytest.mark.slow
def test_the_preface_goes_on_with_the_numbers_of_the_contents(folder):
    contents = (folder / f"{pdf.NAME}.toc").read_text(encoding="utf-8")
    assert re.search(r"How to read this book\}\{([ivx]+)\}", contents)[1] in ("ii", "iii", "iv")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext: apt install poppler-utils")
def test_the_text_can_be_copied(folder):
    text = text_of(folder)
    assert "??" not in text
    for words in (
        "得分函数",
        "证据下界",
        "得分 ✓",
        "Exercises to chapter 2",
        "Exercise 2.3: A task",
        "(exercise 2.3) to mend",
        "Chapter 2",
        "Answer",
        "Forty-two.",
    ):
        assert words in text, words
    for sign in "σε→≤∈×‖✓":
        assert text.count(sign) >= 2, sign
    assert "IntSlider" not in text
    assert printing.PROGRESS not in text
    assert "progress()" not in text


def stored_html(notebook: dict[str, Any]) -> str:
    """The HTML of all outputs of a notebook."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "\n".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)


def bare(text: str) -> str:
    """The letters alone, since LaTeX breaks lines and sets its own quotes and ligatures."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text) if letter.isalnum())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdfimages") is None, reason="needs pdfimages: apt install poppler-utils")
def test_every_figure_is_there_once_and_numbered(folder):
    notebook = json.loads((ROOT / "chapters" / f"{CHAPTER}.ipynb").read_text(encoding="utf-8"))
    pictures = sum("image/png" in o.get("data", {}) for c in notebook["cells"] for o in c.get("outputs", []))
    listed = subprocess.run(
        ["pdfimages", "-list", str(folder / f"{pdf.NAME}.pdf")], check=True, capture_output=True, text=True
    ).stdout
    assert len(re.findall(r"^ *\d+ +\d+ image ", listed, re.M)) == pictures + 1 + 1  # cover, sample's slider
    text = text_of(folder)
    for caption in re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", stored_html(notebook)):
        assert bare(text).count(bare(html.unescape(caption))) == 1, caption
    assert re.findall(r"Figure 2\.(\d+):", text) == [str(i) for i in range(1, pictures + 1)]
    assert bare(text).count("Oneframeoftheslider") == sum(
        "dgm-frames" in "".join(o.get("data", {}).get("text/html", ""))
        for c in notebook["cells"]
        for o in c.get("outputs", [])
    )
