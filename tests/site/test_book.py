"""The book without a browser: its start page, its sources, and a small site built from them."""

import importlib
import json
import re
import socket
import sys
import threading
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
CHAPTER = "02_vae"


def book(name: str) -> ModuleType:
    """A module of book/."""
    if str(BOOK) not in sys.path:
        sys.path.insert(0, str(BOOK))
    return importlib.import_module(name)


build, course, route, start = book("build"), book("course"), book("route"), book("start")
launch, widgets = book("extensions.launch"), book("widgets")


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def of(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


# --- the start page -------------------------------------------------------------------------------------


def test_every_chapter_is_on_the_start_page_in_order() -> None:
    files = sorted(path.stem for path in (ROOT / "chapters").glob("[0-9]*.py"))
    assert [chapter.slug for chapter in course.CHAPTERS] == files


@pytest.mark.parametrize("chapter", course.CHAPTERS[1:], ids=lambda chapter: chapter.slug)
def test_what_a_chapter_needs_comes_before_it_and_is_named_in_it(chapter: Any) -> None:
    text = (ROOT / "chapters" / f"{chapter.slug}.py").read_text(encoding="utf-8")
    need = re.search(r"\*\*You need\*\*.*?\n#\n", text, re.DOTALL)
    assert need is not None
    assert chapter.needs
    for slug in chapter.needs:
        assert slug < chapter.slug
        assert f"{slug}.ipynb" in need[0]


def test_the_graph_has_a_link_for_each_chapter_and_an_arrow_for_each_need() -> None:
    drawing = Tags(route.svg())
    assert [a["href"] for a in drawing.of("a")] == [f"chapters/{c.slug}.html" for c in course.CHAPTERS]
    assert len(drawing.of("rect")) == len(course.CHAPTERS)
    arrows = [path for path in drawing.of("path") if path.get("marker-end") == "url(#route-head)"]
    assert len(arrows) == sum(len(c.needs) for c in course.CHAPTERS)
    assert [marker["id"] for marker in drawing.of("marker")] == ["route-head"]
    for arrow in arrows:  # its last piece points to the right, and so does its head
        level, end = re.search(r"([\d.]+) [\d.]+H([\d.]+)$", arrow["d"] or "").groups()  # type: ignore[union-attr]
        assert float(end) - float(level) >= 6


def test_no_two_boxes_of_the_graph_touch_and_their_texts_fit() -> None:
    corners = [route.corner(chapter) for chapter in course.CHAPTERS]
    for i, (x, y) in enumerate(corners):
        for left, top in corners[:i]:
            assert abs(x - left) >= route.WIDTH + 10 or abs(y - top) >= route.HEIGHT + 5
    for chapter in course.CHAPTERS:
        # Letters of 13.5 pixels are 8 wide on average at most.
        assert all(8 * (len(line) + 2) <= route.WIDTH + 16 for line in chapter.name.split("\n"))


def test_what_the_start_page_says_of_the_graph_is_so() -> None:
    text = " ".join((BOOK / "pages" / "index.md").read_text(encoding="utf-8").split())
    assert "there are three ways on, and none is longer than four chapters" in text
    assert sum(chapter.needs == ("00_start",) for chapter in course.CHAPTERS) == 3
    assert max(route.column(chapter.slug) for chapter in course.CHAPTERS) == 4


def test_the_graph_says_in_words_what_needs_what() -> None:
    words = route.in_words()
    assert words.startswith("The learning route. Chapter 0 needs no other; chapter 1 on 0,")
    assert words.endswith("chapter 10 on 2 and 4.")
    assert words in Tags(route.svg()).of("svg")[0]["aria-label"]  # type: ignore[operator]


def test_the_table_has_minutes_and_the_points_that_the_exercises_state() -> None:
    for chapter, line in zip(course.CHAPTERS, start.table().splitlines()[2:], strict=True):
        cells = [cell.strip() for cell in line.split(" | ")]
        assert re.fullmatch(r"\d+\.\d", cells[4])
        # The points that the notebook's first cell states.
        text = (ROOT / "exercises" / f"{chapter.slug}.py").read_text(encoding="utf-8")
        stated = re.search(r"(\d+)\s*(?:#\s*)?points", text)
        assert stated is not None
        assert f"[{stated[1]}](exercises/{chapter.slug}.ipynb)" in cells[5]


def test_the_start_page_has_a_slider_of_the_chapter_it_names() -> None:
    assert f"chapters/{start.SHOWN[0]}.ipynb" in (BOOK / "pages" / "index.md").read_text(encoding="utf-8")
    tags = Tags(start.slider())
    assert len(tags.of("input")) == 1
    assert all((image["alt"] or "").strip() for image in tags.of("img"))


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="has no line <!-- route -->"):
        start.fill("# A page\n")


# --- sources --------------------------------------------------------------------------------------------


def test_the_students_edition_holds_no_solution() -> None:
    from coursekit.authoring.leaks import leaks

    tree = build.notebooks("student")
    exercises = [nbformat.reads(tree[f"exercises/{c.slug}.ipynb"].decode(), 4) for c in course.CHAPTERS]
    texts = [cell.source for notebook in exercises for cell in notebook.cells]
    assert leaks(ROOT / "solutions", texts) == []
    # The same question finds something where there is something to find.
    solution = nbformat.reads(build.notebooks("instructor")[f"exercises/{CHAPTER}.ipynb"].decode(), 4)
    assert leaks(ROOT / "solutions", [cell.source for cell in solution.cells])


def test_the_students_downloads_are_those_of_the_exercises() -> None:
    assert launch.file_of(f"exercises/{CHAPTER}", "student") == ROOT / "exercises" / f"{CHAPTER}.ipynb"
    assert launch.file_of(f"exercises/{CHAPTER}", "instructor") == ROOT / "solutions" / f"{CHAPTER}.ipynb"


WIDGET = "application/vnd.jupyter.widget-view+json"


def outputs(path: Path) -> list[dict[str, Any]]:
    """The displayed outputs of a notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])]


@pytest.mark.parametrize("slug", [chapter.slug for chapter in course.CHAPTERS])
def test_every_chapter_has_a_slider_and_every_picture_a_text(slug: str) -> None:
    stored = ["".join(data.get("text/html", "")) for data in outputs(ROOT / "chapters" / f"{slug}.ipynb")]
    assert any('<div class="dgm-frames' in text and '<input type="range"' in text for text in stored)
    images = [image for text in stored for image in Tags(text).of("img")]
    assert images
    assert all((image.get("alt") or "").strip() for image in images)
    pictures = [data for data in outputs(ROOT / "chapters" / f"{slug}.ipynb") if "image/png" in data]
    assert all("text/html" in data for data in pictures)  # a bare PNG has no text
    # A widget is dead without a kernel: whoever adds one says so beside it, and here.
    widgets = [data for data in outputs(ROOT / "chapters" / f"{slug}.ipynb") if WIDGET in data]
    assert widgets == []


def test_files_that_are_the_same_keep_their_time_and_files_that_are_gone_go(tmp_path: Path) -> None:
    build.assemble({"a.md": b"a", "b/c.md": b"c", "old.md": b"o"}, tmp_path)
    before = (tmp_path / "a.md").stat().st_mtime_ns
    build.assemble({"a.md": b"a", "b/c.md": b"changed"}, tmp_path)
    assert (tmp_path / "a.md").stat().st_mtime_ns == before
    assert (tmp_path / "b" / "c.md").read_bytes() == b"changed"
    assert not (tmp_path / "old.md").exists()


# --- Colab and Binder -----------------------------------------------------------------------------------

NOWHERE = {"url": "", "branch": "main", "site_branch": "gh-pages"}
SOMEWHERE = NOWHERE | {"url": "https://github.com/someone/some.course"}


def test_without_an_address_there_are_downloads_only() -> None:
    found = launch.links(f"chapters/{CHAPTER}", "student", NOWHERE)
    assert [address for _, address, _ in found] == [
        f"notebooks/chapters/{CHAPTER}.ipynb",
        f"notebooks/chapters/{CHAPTER}.py",
    ]


def test_with_an_address_there_are_colab_and_binder() -> None:
    addresses = {
        text: address for text, address, _ in launch.links("exercises/00_start", "student", SOMEWHERE)
    }
    assert addresses["Open in Colab"] == (
        "https://colab.research.google.com/github/someone/some.course/blob/gh-pages/colab/exercises/00_start.ipynb"
    )
    assert addresses["Open in Binder"] == (
        "https://mybinder.org/v2/gh/someone/some.course/main?urlpath=lab/tree/exercises/00_start.ipynb"
    )


def test_solutions_are_opened_nowhere_else() -> None:
    found = launch.links("exercises/00_start", "instructor", SOMEWHERE)
    assert [address for _, address, _ in found] == [
        "notebooks/solutions/00_start.ipynb",
        "notebooks/solutions/00_start.py",
    ]


@pytest.mark.parametrize(
    "url", ["github.com/a/b", "https://gitlab.com/a/b", "https://github.com/a", 'https://github.com/a/b"><x']
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(launch.ConfigError, match=r"https://github\.com/OWNER/NAME or empty"):
        launch.owner_and_name(url)


def test_the_colab_notebook_installs_the_course_first_and_is_else_the_same() -> None:
    path = ROOT / "chapters" / f"{CHAPTER}.ipynb"
    notebook = nbformat.reads(launch.colab_notebook(path, "chapters", SOMEWHERE), 4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "git clone" in code[0].source
    assert "--branch main https://github.com/someone/some.course /content/course" in code[0].source
    assert code[0].source.endswith("%cd /content/course/chapters")
    notebook.cells.remove(code[0])
    original = nbformat.read(path, 4)
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in original.cells]
    assert "git clone" not in path.read_text(encoding="utf-8")


# --- a small site ---------------------------------------------------------------------------------------


def title_only(content: bytes) -> bytes:
    """A notebook's first cell, so that links to it lead somewhere."""
    notebook = nbformat.reads(content.decode(), 4)
    heading = notebook.cells[0].source.split("\n")[0]
    notebook.cells = [nbformat.v4.new_markdown_cell(heading, id="title")]
    return nbformat.writes(notebook).encode()


# The generated pages are left out, and the toctree misses them.
LENIENT = ["-D", "suppress_warnings=toc.glob,toc.not_readable"]


def further_cells(content: bytes, *cells: Any) -> bytes:
    """A notebook with cells at its end."""
    notebook = nbformat.reads(content.decode(), 4)
    notebook.cells += cells
    return nbformat.writes(notebook).encode()


# What a chapter may refer to, in itself and in others.
LAW = """:::{prf:theorem} A law
:label: sample-law

It holds.
:::"""
REFERENCES = f"""{LAW.replace("sample", "other")}

Here {{prf:ref}}`other-law`. There [a law](03_gan.ipynb#sample-law), [the gap](02_vae.ipynb#vae-elbo-gap),
[figure 2.1](02_vae.ipynb#fig-2-1), [its sister](02_vae.ipynb#fig-2-2), and to mend,
[a loss](../exercises/02_vae.ipynb#exercise-2-3)."""
SAMPLES = ("chapters/03_gan", "chapters/04_wgan", "chapters/05_flow")


def widget_cell() -> Any:
    """A cell whose output is a widget: a slider that stands at 0.5, and what it has drawn."""
    data = {WIDGET: {"model_id": "box"}, "text/plain": "interactive(children=(FloatSlider(...)))"}
    return nbformat.v4.new_code_cell(
        "interact(f)", outputs=[nbformat.v4.new_output("display_data", data)], id="w"
    )


def figure_cells() -> list[Any]:
    """Cells whose outputs are a figure and a slider, each with a caption, as coursekit displays them."""
    from matplotlib import pyplot as plt

    from coursekit.reading import figures, slider

    def drawn(value: float = 0.0) -> Any:
        fig, ax = plt.subplots(figsize=(2, 1))
        ax.plot([0, value])
        return fig

    shown: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        for module in (figures, slider):
            patch.setattr(module, "display", shown.append)
        figures.figure(drawn(), alt="A line.", caption="A line & its caption.")
        slider.frames(drawn, [0.0, 1.0], label="b", alt=str, caption="A slider's caption.")
        slider.frames(drawn, [0.0, 1.0], label="c", alt=str)
    return [
        nbformat.v4.new_code_cell(
            "draw()", outputs=[nbformat.v4.new_output("display_data", dict(s.data))], id=f"f{i}"
        )
        for i, s in enumerate(shown)
    ]


def with_widget(content: bytes) -> bytes:
    """A notebook with that cell, and the widgets' state as ipywidgets stores it."""
    notebook = nbformat.reads(further_cells(content, widget_cell()).decode(), 4)
    drawn = {"output_type": "stream", "name": "stdout", "text": "drawn at one half"}
    states = {
        "box": {"children": ["IPY_MODEL_slider", "IPY_MODEL_out"]},
        "slider": {"description": "beta:", "value": 0.5, "children": ["IPY_MODEL_box"]},
        "out": {"outputs": [drawn], "layout": "IPY_MODEL_layout"},
        "elsewhere": {"description": "gamma", "value": 9},
    }
    state = {key: {"model_name": "M", "state": value} for key, value in states.items()}
    notebook.metadata["widgets"] = {widgets.STATE: {"state": state, "version_major": 2}}
    return nbformat.writes(notebook).encode()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site with one chapter and its exercises whole, the others cut down to titles and samples."""
    tree = {
        name: content if CHAPTER in name else title_only(content)
        for name, content in build.notebooks("student").items()
    }
    law, references, widget = (f"{name}.ipynb" for name in SAMPLES)
    tree[law] = further_cells(tree[law], nbformat.v4.new_markdown_cell(LAW, id="law"))
    tree[references] = further_cells(tree[references], nbformat.v4.new_markdown_cell(REFERENCES, id="there"))
    tree[widget] = widgets.still(with_widget(further_cells(tree[widget], *figure_cells())))
    out = tmp_path_factory.mktemp("book")
    further = ["-q", *LENIENT]
    built: Path = build.build(
        "html", "student", out, tree=build.pages() | tree, strict=False, further=further
    )
    return built


def page(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


PAGES = ("index.html", f"chapters/{CHAPTER}.html", f"exercises/{CHAPTER}.html")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fetches_nothing_from_elsewhere(site: Path, name: str) -> None:
    tags = Tags(page(site, name))
    fetched = [a.get("src") for tag in ("script", "img", "iframe", "source") for a in tags.of(tag)]
    fetched += [a.get("href") for a in tags.of("link") if a.get("rel") != "canonical"]
    outside = [address for address in fetched if address and re.match(r"(?:https?:)?//", address)]
    assert outside == []
    local = [a for a in fetched if a and not a.startswith("data:")]
    missing = [a for a in local if not ((site / name).parent / re.sub(r"[?#].*", "", a)).resolve().exists()]
    assert missing == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_its_language_and_describes_its_pictures(site: Path, name: str) -> None:
    tags = Tags(page(site, name))
    assert tags.of("html")[0]["lang"] == "en"
    assert all((image.get("alt") or "").strip() for image in tags.of("img"))


@pytest.mark.parametrize("name", PAGES)
def test_the_links_of_a_page_lead_somewhere(site: Path, name: str) -> None:
    text = page(site, name)
    broken = []
    for anchor in Tags(text).of("a"):
        address, _, fragment = (anchor.get("href") or "").partition("#")
        if re.match(r"\w+:", address):
            continue
        target = ((site / name).parent / address).resolve() if address else site / name
        if not target.exists() and "reference" not in address:
            broken.append(address)
        if not address and fragment and f'id="{fragment}"' not in text:
            broken.append(f"#{fragment}")
    assert broken == []


def test_chapters_are_linked_as_pages_and_not_as_files(site: Path) -> None:
    links = [a.get("href") or "" for a in Tags(page(site, PAGES[1])).of("a")]
    assert "00_start.html" in links
    assert f"../exercises/{CHAPTER}.html" in links
    downloads = [f"../notebooks/chapters/{CHAPTER}.{suffix}" for suffix in ("ipynb", "py")]
    assert [link for link in links if re.search(r"\.(ipynb|py)$", link)] == downloads


def test_equations_and_figures_carry_the_chapters_number(site: Path) -> None:
    text = page(site, PAGES[1])
    assert '<span class="section-number">2. </span>Variational autoencoders' in text
    numbers = re.findall(r'class="eqno">\((\d+)\.(\d+)\)', text)
    assert {chapter for chapter, _ in numbers} == {"2"}
    labels = [e for e in importlib.import_module("coursekit.authoring.equations").equations(ROOT)]
    assert [int(n) for _, n in numbers] == list(range(1, 1 + sum(e.chapter == CHAPTER for e in labels)))
    figures = re.findall(r'caption-number">Figure (\d+)\.(\d+) ', text)
    stored = [data for data in outputs(ROOT / "chapters" / f"{CHAPTER}.ipynb") if "image/png" in data]
    assert figures == [("2", str(n)) for n in range(1, 1 + len(stored))]
    assert text.count('<figure class="') == len(stored)  # none inside another
    assert 'id="fig-2-1"' in text


def test_a_reference_to_an_equation_shows_its_number(site: Path) -> None:
    text = page(site, PAGES[1])
    assert re.search(r'href="#equation-vae-elbo-jensen">\(2\.2\)</a>', text)


def referring(site: Path) -> str:
    """The page that refers to others."""
    return page(site, f"{SAMPLES[1]}.html")


def test_an_equation_of_another_chapter_is_shown_by_its_number(site: Path) -> None:
    place = 'href="02_vae.html#equation-vae-elbo-gap">(2.3)</a>'
    assert re.search(rf"the gap\xa0<a [^>]*{re.escape(place)}", referring(site))


def test_theorems_are_numbered_and_referred_to_within_and_over_chapters(site: Path) -> None:
    assert "Theorem 3.1 " in page(site, f"{SAMPLES[0]}.html")
    assert "Theorem 4.1 " in referring(site)
    assert re.search(r'Here <a [^>]*href="#other-law"[^>]*>Theorem 4\.1</a>', referring(site))
    there = r'a law \(<a [^>]*href="03_gan\.html#sample-law"[^>]*>Theorem 3\.1</a>\)'
    assert re.search(there, referring(site))
    assert 'id="sample-law"' in page(site, f"{SAMPLES[0]}.html")


def test_a_figure_of_another_chapter_is_linked_by_its_number(site: Path) -> None:
    assert re.search(r'href="02_vae\.html#fig-2-1"[^>]*>(?:<span[^>]*>)?figure 2\.1<', referring(site))
    sister = r'its sister \(<a [^>]*href="02_vae\.html#fig-2-2"[^>]*>(?:<span[^>]*>)?figure 2\.2<'
    assert re.search(sister, referring(site))
    assert 'id="fig-2-2"' in page(site, PAGES[1])


def test_exercises_are_numbered_over_the_book_and_linked_from_chapters(site: Path) -> None:
    text = page(site, PAGES[2])
    source = (ROOT / "exercises" / f"{CHAPTER}.py").read_text(encoding="utf-8")
    tasks = re.findall(r"^# ## (\d+)\. (.*)$", source, re.MULTILINE)
    headed = re.findall(r'<section id="exercise-2-(\d+)">.*?<h2>Exercise 2\.(\d+): (.*?)<a', text, re.DOTALL)
    assert [(number, title.replace("&nbsp;", " ")) for _, number, title in headed] == tasks
    assert all(anchor == number for anchor, number, _ in headed)
    place = 'href="../exercises/02_vae.html#exercise-2-3"'
    link = rf"a loss \(<a [^>]*{re.escape(place)}[^>]*>(?:<span[^>]*>)?exercise 2\.3<"
    assert re.search(link, referring(site))


def test_a_widget_is_shown_at_its_first_state_with_a_note(site: Path) -> None:
    text = page(site, f"{SAMPLES[2]}.html")
    assert f"<em>{widgets.NOTE}: beta = 0.5.</em>" in text
    assert "drawn at one half" in text
    assert "widget-view" not in text
    assert "widget-state" not in text
    sources = [script.get("src") or "" for script in Tags(text).of("script")]
    assert not [source for source in sources if re.match(r"(?:https?:)?//", source)]


def test_a_widget_whose_state_is_not_stored_keeps_its_other_forms() -> None:
    output = dict(widget_cell().outputs[0])
    note, kept = widgets.without(output, {})
    assert note["data"]["text/markdown"] == f"*{widgets.NOTE}.*"
    assert set(kept["data"]) == {"text/plain"}


def test_a_notebook_without_widgets_is_left_as_it_is() -> None:
    content = (ROOT / "chapters" / f"{CHAPTER}.ipynb").read_bytes()
    assert widgets.still(content) is content


def test_the_start_page_is_named_once_and_every_page_has_the_icon(site: Path) -> None:
    assert "<title>Deep generative models: a course in Python and PyTorch</title>" in page(site, "index.html")
    assert "<title>Variational autoencoders &#8212; Deep generative models</title>" in page(site, PAGES[1])
    for name in (*PAGES, "search.html", "genindex.html"):
        (icon,) = [link for link in Tags(page(site, name)).of("link") if link.get("rel") == "icon"]
        assert ((site / name).parent / (icon["href"] or "")).resolve() == site / "_static" / "favicon.svg"
    assert (site / "favicon.ico").is_file()  # asked for where there is no page: a downloaded file


def test_nothing_is_loaded_that_is_not_used(site: Path) -> None:
    assert not list(site.rglob("exercise.css"))


def test_the_index_is_in_the_sidebar(site: Path) -> None:
    assert "../genindex.html" in [a.get("href") for a in Tags(page(site, PAGES[1])).of("a")]


def test_captions_of_figures_and_sliders_stand_once_behind_their_numbers(site: Path) -> None:
    text = page(site, f"{SAMPLES[2]}.html")
    figures = re.findall(r'<figure class="dgm[^>]*id="(fig-5-\d)">(.*?)</figure>', text, re.DOTALL)
    assert [anchor for anchor, _ in figures] == ["fig-5-1", "fig-5-2", "fig-5-3"]
    for (_, figure), number, caption in zip(
        figures, (1, 2, 3), ("A line &amp; its caption.", "A slider’s caption.", "\u200b"), strict=True
    ):
        assert f'<span class="caption-number">Figure 5.{number} </span>' in figure
        assert re.search(rf'caption-text">{caption}<', figure)
        assert text.count(f">{caption}<") == 1
        assert ('type="range"' in figure) == (number > 1)
    assert text.count("<figcaption") == 3


def test_the_captions_are_under_the_figures_once(site: Path) -> None:
    assert page(site, PAGES[1]).count("every pixel drawn from its own histogram.</") == 1


def test_answers_are_folded(site: Path) -> None:
    text = page(site, PAGES[1])
    source = (ROOT / "chapters" / f"{CHAPTER}.py").read_text(encoding="utf-8")
    answers = text.count('<summary class="admonition-title">Answer</summary>')
    assert answers == source.count(":::{admonition} Answer") > 0
    folds = [fold for fold in Tags(text).of("details") if "admonition" in (fold.get("class") or "").split()]
    assert len(folds) == answers
    assert not any("open" in fold for fold in folds)


def test_formulas_come_from_the_site(site: Path) -> None:
    scripts = [script.get("src") or "" for script in Tags(page(site, PAGES[1])).of("script")]
    assert any("mathjax" in source.lower() for source in scripts)


def test_no_markup_is_left_raw(site: Path) -> None:
    for name in PAGES:
        text = re.sub(r"<pre.*?</pre>|<script.*?</script>", "", page(site, name), flags=re.DOTALL)
        text = re.sub(r'base64,[^"]*', "", text)
        assert not re.findall(r":::|\{eq\}|\{cite\}|\$\$|<!-- (?:route|chapters|exercises|slider) -->", text)


def test_downloads_are_the_repositorys_files_and_colab_has_none(site: Path) -> None:
    for folder in ("chapters", "exercises"):
        for suffix in (".ipynb", ".py"):
            copy = site / "notebooks" / folder / f"{CHAPTER}{suffix}"
            assert copy.read_bytes() == (ROOT / folder / copy.name).read_bytes()
    assert not (site / "colab").exists()
    assert not (site / "notebooks" / "solutions").exists()
    assert "colab.research.google.com" not in page(site, PAGES[1])


def test_a_second_build_reads_nothing_again(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = site.parent
    copy = {
        path.relative_to(out / "source").as_posix(): path.read_bytes()
        for path in (out / "source").rglob("*")
        if path.is_file()
    }
    build.build(
        "html",
        "student",
        out,
        tree=copy,
        strict=False,
        further=LENIENT,
    )
    said = re.sub(r"\x1b\[[\d;]*m", "", capfd.readouterr().out)  # Sphinx writes in colour where CI is set
    assert " 0 added, 0 changed, 0 removed" in said


def test_with_an_address_the_site_holds_notebooks_for_colab(tmp_path: Path) -> None:
    tree = {name: title_only(content) for name, content in build.notebooks("student").items()}
    address = [f"-Ddgm_repository.{key}={value}" for key, value in SOMEWHERE.items()]
    site = build.build(
        "html",
        "student",
        tmp_path,
        tree=build.pages() | tree,
        strict=False,
        further=["-q", *LENIENT, *address],
    )
    for folder in ("chapters", "exercises"):
        for chapter in course.CHAPTERS:
            notebook = nbformat.read(site / "colab" / folder / f"{chapter.slug}.ipynb", 4)
            assert any("git clone" in cell.source for cell in notebook.cells)
            links = [a.get("href") or "" for a in Tags(page(site, f"{folder}/{chapter.slug}.html")).of("a")]
            there = f"some.course/blob/gh-pages/colab/{folder}/{chapter.slug}.ipynb"
            assert sum(link.endswith(there) for link in links) == 1


# --- serving --------------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert build.serve(tmp_path, taken.getsockname()[1]) == 1
    message = capsys.readouterr().err
    assert "cannot be used" in message
    assert "--port 8001" in message
    assert message.count("\n") == 1


def test_the_book_is_served_on_this_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text("the book")
    started: list[Any] = []
    http = build.http.server.ThreadingHTTPServer

    class Noted(http):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            started.append(self)

    monkeypatch.setattr(build.http.server, "ThreadingHTTPServer", Noted)
    thread = threading.Thread(target=build.serve, args=(tmp_path, 0), daemon=True)
    thread.start()
    for _ in range(500):
        if started:
            break
        thread.join(0.01)
    address, port = started[0].server_address
    assert address == "127.0.0.1"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as reply:
        assert reply.read() == b"the book"
    started[0].shutdown()
    thread.join(10)
    assert f"http://127.0.0.1:{port}/" in capsys.readouterr().out
