"""The book on paper: what LaTeX is told, and what becomes of outputs that only a screen can show.

- A slider becomes one picture, its start frame; its caption says where the slider stands.
- A figure gets its text alternative: as the caption where it has none, else in the file for screen readers.
  In the code above it stand `alt=...` and `caption=...`, since nobody reads the same sentence twice.
- An equation's page stands in the index under the glossary's terms and the functions that are the equation.
- The source that `show` displays is set as code; a widget, which is dead without a kernel, is left out.
"""

import ast
import html
import re
from functools import cache
from pathlib import Path
from typing import Any

import paper
from docutils import nodes
from generators import glossary
from generators.interfaces import public_paths, read_modules
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.latex import LaTeXTranslator

from coursekit.authoring.equations import equation_index

BOOK = Path(__file__).resolve().parent.parent
NAME = "deep-generative-models"
WIDGET = "application/vnd.jupyter.widget-view+json"
ALT = re.compile(r'<img\b[^>]*?\balt="([^"]*)"', re.DOTALL)
FRAMES = '<div class="dgm-frames'
LABEL = re.compile(r"<label\b[^>]*>\s*<span>(.*?)</span>.*?<output\b[^>]*>(.*?)</output>", re.DOTALL)
SOURCE = '<div class="dgm-source"'
PARTS = re.compile(r"\s*\\qquad\s*")
WORD = re.compile(r"\\(?:text|textrm|mathrm)\{[^{}]*\}")
HAN_ENTRY = re.compile(r"\\index\{(?=[\u2e80-\u9fff])")
DISPLAYS = ("figure", "frames")
BELOW = re.compile(r"(?:alt|caption)(?==)")  # words that stand under the figure
WIDTH = 110  # characters of a line
WIDEST = 140  # characters of a line that can be read when it is set as small as it must
EXERCISES = "Exercises: "
PROGRESS = "How far you are"  # the end of an exercise notebook, which shows nothing without a kernel
LONG, MANY = 12, 8  # rows and columns of a table that is set in the size of the text
NUMBERED = re.compile(r"(?:chapters|exercises)/(\d+)_")


def caption_of(page: str) -> tuple[str, str]:
    """What a figure's HTML says in words.

    Args:
        page: the output of `coursekit.figure` or `coursekit.frames`.

    Returns:
        The text alternative of the picture that is shown first, and, of a slider, where it stands
        (“temperature” at 0.5); empty strings where there is none.
    """
    alt, label = ALT.search(page), LABEL.search(page)
    stands = f"“{label[1]}” at {label[2]}" if label and FRAMES in page else ""
    return " ".join(html.unescape(alt[1]).split()) if alt else "", html.unescape(stands)


def shorter(code: str) -> str:
    """A cell's code as it is printed: without the words under its figure, and with single blank lines."""
    try:
        tree = ast.parse(code)
    except SyntaxError:
        return code
    displays = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in DISPLAYS
    ]
    lines = code.encode().splitlines(keepends=True)  # ast counts bytes
    for call in sorted(displays, key=lambda node: node.lineno, reverse=True):
        first, last = call.lineno - 1, (call.end_lineno or call.lineno) - 1
        parts = [ast.get_source_segment(code, part) or "" for part in (*call.args, *call.keywords)]
        parts = [f"{name[0]}=..." if (name := BELOW.match(part)) else part for part in parts]
        before, after = lines[first][: call.col_offset], lines[last][call.end_col_offset :]
        name = ast.unparse(call.func)
        short = f"{name}({', '.join(parts)})"
        if len(before) + len(short) > WIDTH or "\n" in short:
            inner = "".join(f"    {part},\n" for part in parts)
            short = f"{name}(\n{inner})".replace("\n", "\n" + " " * len(before))
        lines[first : last + 1] = [before + short.encode() + after]
    return re.sub(r"\n{3,}", "\n\n", b"".join(lines).decode())


class PrintOutputs(SphinxTransform):
    """Before figures are numbered: make the code of every cell and its output fit for paper."""

    default_priority = 690

    def apply(self, **kwargs: Any) -> None:
        if not self.config.dgm_print:
            return
        for part in list(self.document.findall(nodes.container)):
            if part.get("nb_element") == "mime_bundle":
                fit_output(part)
            elif part.get("nb_element") == "cell_code_source":
                for block in part.findall(nodes.literal_block):
                    block.rawsource = shorter(block.astext())
                    block.children = [nodes.Text(block.rawsource)]


def fit_output(bundle: nodes.container) -> None:
    """Make an output, of which MyST-NB keeps every form until it knows the builder, fit for paper."""
    forms = {str(form.get("mime_type")): form for form in bundle.children if isinstance(form, nodes.Element)}
    if WIDGET in forms:
        bundle.parent.remove(bundle)
        return
    page = forms["text/html"].astext() if "text/html" in forms else ""
    for image in bundle.findall(nodes.image):
        # Without sizes LaTeX takes the inches that the PNG states, and shrinks what is too wide.
        for size in ("width", "height"):
            image.attributes.pop(size, None)
        image["alt"], image["stands"] = caption_of(page)
        image["align"] = "center"
    if SOURCE in page and "text/plain" in forms:
        for block in forms["text/plain"].findall(nodes.literal_block):
            block["language"] = "python"


class Captions(SphinxPostTransform):
    """After the numbered figures are made and the outputs are chosen: the words under each."""

    default_priority = 20
    builders = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for figure in self.document.findall(nodes.figure):
            image = next(iter(figure.findall(nodes.image)), None)
            caption = next(iter(figure.findall(nodes.caption)), None)
            if image is None or caption is None or "dgm" not in figure.get("classes", ()):
                continue
            written = caption.astext().replace("\u200b", "").strip()
            words = written or image.get("alt", "")
            if image.get("stands"):
                words = f"{words} (One frame of the slider {image['stands']}.)"
            caption.clear()
            caption += nodes.Text(words)
            if not written:
                image["alt"] = ""


class Pages(SphinxPostTransform):
    """On the assembled book: the files' own numbers, shorter headings, tables, what a cell printed.

    The last section of an exercise notebook, a widget's, is left out.
    """

    default_priority = 21
    builders = ("latex",)

    def run(self, **kwargs: Any) -> None:
        for part in list(self.document.findall(addnodes.start_of_file)):
            if number := NUMBERED.match(part["docname"]):
                part.insert(
                    0, nodes.raw("", rf"\setcounter{{chapter}}{{{int(number[1]) - 1}}}", format="latex")
                )
        for table in list(self.document.findall(nodes.table)):
            keep_together(table)
        for title in list(self.document.findall(nodes.title)):
            text = title.astext()
            if text == PROGRESS:
                title.parent.parent.remove(title.parent)
            if text.startswith(EXERCISES):
                title.clear()
                rest = text.removeprefix(EXERCISES)
                title += nodes.Text(rest[:1].upper() + rest[1:])
        for cell in self.document.findall(nodes.container):
            if "cell_output" in cell.get("classes", ()):
                merge_printed(cell)
                shrink_printed(cell)


def keep_together(table: nodes.table) -> None:
    """A line in bold above a table is its heading, and stays with it; a large table is set smaller."""
    rows = sum(len(body) for body in table.findall(nodes.tbody))
    columns = max((len(row) for row in table.findall(nodes.row)), default=0)
    if columns > MANY:
        surround(table, r"\begingroup\footnotesize\setlength{\tabcolsep}{2.5pt}", r"\endgroup")
    elif rows > LONG:
        surround(table, r"\begingroup\small", r"\endgroup")
    above = table.parent.children[: table.parent.index(table)]
    text = [node for node in above if not isinstance(node, nodes.raw)]
    parts = [part for part in text[-1].children if part.astext()] if text else []  # MyST adds empty ones
    if [type(part) for part in parts] == [nodes.strong] and isinstance(text[-1], nodes.paragraph):
        room = rf"\needspace{{{5 + round(1.1 * rows)}\baselineskip}}"  # some rows take two lines
        table.parent.insert(table.parent.index(text[-1]), nodes.raw("", room, format="latex"))


def surround(node: nodes.Element, before: str, after: str) -> None:
    """Put LaTeX before and after a node."""
    place = node.parent.index(node)
    node.parent.insert(place + 1, nodes.raw("", after, format="latex"))
    node.parent.insert(place, nodes.raw("", before, format="latex"))


def merge_printed(cell: nodes.container) -> None:
    """Make one block of the blocks of text that follow one another in a cell's output."""
    for block in list(cell.children)[1:]:
        before = cell[cell.index(block) - 1]
        if printed(before) and printed(block):
            text = before.astext().rstrip("\n") + "\n" + block.astext()
            before.replace_self(nodes.literal_block(text, text, **before.attributes))
            cell.remove(block)


def shrink_printed(cell: nodes.container) -> None:
    """Set a printed table smaller where that keeps its lines whole; LaTeX breaks what is wider still."""
    for block in [child for child in cell.children if printed(child)]:
        wide = [len(line) for line in block.astext().splitlines() if len(line) > WIDTH]
        longest = max(wide, default=0)
        if len(wide) > 1 and longest <= WIDEST:  # one long line is a sentence
            size = 9 * WIDTH / longest  # points; \footnotesize has 9
            start = rf"\begingroup\fvset{{fontsize=\fontsize{{{size:.2f}}}{{{1.22 * size:.2f}}}\selectfont}}"
            surround(block, start, r"\endgroup")


def printed(node: nodes.Node) -> bool:
    """Whether it is text that a cell printed, and no code."""
    return isinstance(node, nodes.literal_block) and node.get("language") == "myst-ansi"


def visit_image(translator: LaTeXTranslator, node: nodes.image) -> None:
    """An image with its text alternative, which \\coursealt puts into the file."""
    start = len(translator.body)
    LaTeXTranslator.visit_image(translator, node)
    if not node.get("alt"):
        return
    code = node["alt"].encode("utf-16-be").hex().upper()
    for place in range(start, len(translator.body)):
        if r"\sphinxincludegraphics" in translator.body[place]:
            translator.body[place] = rf"\coursealt{{{code}}}{{{translator.body[place]}}}"


def in_lines(tex: str) -> str:
    """The parts of a formula under one another; a word between two parts begins the line of the second."""
    parts = PARTS.split(tex)
    lines = parts[:1]
    for part in parts[1:]:
        lines[-1:] = (
            [lines[-1] + r"\quad " + part] if WORD.fullmatch(lines[-1].strip()) else [lines[-1], part]
        )
    return r" \\[4pt] ".join(line.strip() for line in lines)


def visit_index(translator: LaTeXTranslator, node: addnodes.index) -> None:
    """An entry of the index; makeindex, which knows bytes only, gets a sign before a Chinese one."""
    start = len(translator.body)
    try:
        LaTeXTranslator.visit_index(translator, node)
    except nodes.SkipNode:
        translator.body[start:] = [HAN_ENTRY.sub(r"\\index{.", part) for part in translator.body[start:]]
        raise


def nothing_open(translator: LaTeXTranslator, node: nodes.image) -> None:
    """Nothing is left open."""


@cache
def index_entries() -> dict[str, str]:
    """From an equation's label to its entries: the glossary's terms, and the functions that implement it."""
    paths = public_paths(read_modules(BOOK.parent / "lib"))
    found = {
        row.equation.label: "".join(map(function_entry, sorted({paths.get(f, f) for f in row.functions})))
        for row in equation_index(BOOK.parent)
    }
    for term in glossary.read(BOOK.parent):
        if term.see in found:
            as_sphinx_writes_it = term.en.replace("-", r"\sphinxhyphen{}")
            found[term.see] += rf"\courseterm{{{as_sphinx_writes_it}}}"
    return found


def function_entry(path: str) -> str:
    """A function in the index: by its own name, its module behind it."""
    module, _, name = path.rpartition(".")
    return rf"\courseindex{{{name.replace('_', '')}}}{{{paper.code(name)}}}{{{paper.code(module)}}}"


def visit_math_block(translator: LaTeXTranslator, node: nodes.math_block) -> None:
    """A display of parts side by side gets a second form, for LaTeX to take when the line is too short.

    A numbered one brings what it defines and what implements it into the index.
    """
    start = len(translator.body)
    text = node.astext()
    try:
        LaTeXTranslator.visit_math_block(translator, node)
    except nodes.SkipNode:
        label = node.get("label") or ""
        mark = rf"\label{{equation:{node.get('docname')}:{label}}}"
        entries = index_entries().get(label, "")
        translator.body[start:] = [part.replace(mark, mark + entries) for part in translator.body[start:]]
        if PARTS.search(text) and "&" not in text and r"\\" not in text:
            display = "".join(translator.body[start:])
            lines = rf"\begin{{gathered}}{in_lines(text)}\end{{gathered}}"
            broken = display.replace(text, lines)
            translator.body[start:] = [f"\\coursedisplay{{{text}}}{{{display}}}{{{broken}}}"]
        raise


def settings(app: Sphinx, config: Config) -> None:
    """What conf.py would say of LaTeX; `book/pdf.py` passes the tag."""
    if not app.tags.has("print"):
        return
    config.dgm_print = True
    edition = "Instructor's edition" if app.tags.has("instructor") else "Student's edition"
    config.suppress_warnings = [*config.suppress_warnings, "toc.not_included"]  # the reference of dgm
    config.latex_engine = "xelatex"
    config.latex_use_xindy = False
    config.pygments_style = "default"  # the one whose colours are dark enough for print
    config.today_fmt = "%-d %B %Y"
    config.latex_docclass = {"manual": "book"}
    config.latex_domain_indices = False
    config.latex_show_urls = "no"
    config.latex_table_style = ["booktabs"]
    config.latex_documents = [("index", f"{NAME}.tex", config.project, config.author, "manual", False)]
    config.latex_additional_files = [
        str(BOOK / "latex" / "coursebook.sty"),
        str(BOOK.parent / "docs" / "figures" / "readme.png"),
    ]
    config.latex_elements = {
        "papersize": "a4paper",
        "pointsize": "11pt",
        "extraclassoptions": "openany",
        "geometry": r"\usepackage[a4paper,hmargin={24mm,22mm},vmargin={25mm,24mm},headsep=6mm]{geometry}",
        "fncychap": "",
        "fontpkg": "",
        "fvset": r"\fvset{fontsize=\footnotesize}",
        "figure_align": "!htb",
        "tocdepth": r"\setcounter{tocdepth}{1}",
        "maketitle": r"\coursetitle",
        "sphinxsetup": (
            "HeaderFamily=\\bfseries,TitleColor={rgb}{0,0,0},InnerLinkColor={RGB}{0,73,122},"
            "OuterLinkColor={RGB}{0,73,122},verbatimwithframe=true,VerbatimColor={RGB}{246,248,250},"
            "VerbatimBorderColor={RGB}{246,248,250},pre_padding=4pt,pre_border-radius=2pt,"
            "div.note_border-width=0pt,div.note_border-left-width=3pt,"
            "div.note_border-TeXcolor={RGB}{0,114,178},div.note_background-TeXcolor={RGB}{243,247,250},"
            "div.note_padding=6pt,verbatimhintsturnover=false,verbatimforcewraps=true,verbatimvisiblespace={},verbatimcontinued=\\hbox{\\hskip1.5em}"
        ),
        "preamble": (
            "\\usepackage{coursebook}\n"
            f"\\renewcommand\\courseedition{{{edition}}}\n"
            "\\renewcommand\\coursesubtitle{A course in Python and PyTorch}\n"
            "\\renewcommand\\courselicence{Text and figures: CC BY 4.0. Code: MIT licence.}\n"
        ),
    }


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("dgm_print", False, "env")
    app.connect("config-inited", settings, priority=100)
    app.add_transform(PrintOutputs)
    app.add_post_transform(Captions)
    app.add_post_transform(Pages)
    app.add_node(addnodes.index, override=True, latex=(visit_index, nothing_open))
    app.add_node(nodes.math_block, override=True, latex=(visit_math_block, nothing_open))
    app.add_node(nodes.image, override=True, latex=(visit_image, nothing_open))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
