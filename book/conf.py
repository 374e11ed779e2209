"""Sphinx's configuration of the book; `book/build.py` assembles the sources and passes the tags.

Tags: the edition (`student`, `instructor`), and from Sphinx the builder (`html`, `latex`).
"""

import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parent
sys.path[:0] = [str(BOOK), str(BOOK.parent / "lib")]

edition = "instructor" if tags.has("instructor") else "student"  # type: ignore[name-defined]  # noqa: F821

project = "Deep generative models"
dgm_edition = edition
author = "the authors of the course"
copyright = "the authors of the course; text and figures CC BY 4.0, code MIT"
language = "en"

extensions = [
    "myst_nb",
    "sphinxcontrib.bibtex",
    "sphinx_proof",
    "sphinx_copybutton",
    "sphinx-mathjax-offline",
    "extensions.numbering",
    "extensions.figures",
    "extensions.exercises",
    "extensions.crossings",
    "extensions.launch",
    "extensions.dropdown",
    "extensions.generated",
    "extensions.printing",
    "extensions.accessible",
    "extensions.together",
]

# Notebooks are shown with the outputs of their last `make run`; nothing is executed here.
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # no script from another host
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_url_schemes = {"http": None, "https": None, "mailto": None}
myst_dmath_double_inline = False

bibtex_bibfiles = ["../chapters/references.bib"]
bibtex_reference_style = "bare_author_year"

numfig = True
numfig_format = {"figure": "Figure %s", "table": "Table %s", "code-block": "Listing %s", "section": "%s"}
math_numfig = True
math_eqref_format = "({number})"

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["static"]
templates_path = ["templates"]
html_favicon = "static/favicon.svg"
html_extra_path = ["static/favicon.ico"]
html_css_files = ["book.css"]
html_show_sourcelink = False
html_copy_source = False
html_domain_indices = False  # the sidebar leads to the modules, and theorems have names
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is
html_theme_options = {
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search field stands in the sidebar
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_issues_button": False,
    "use_repository_button": False,
}
if edition == "instructor":
    html_theme_options["announcement"] = "Instructor's edition: it has the solutions. Keep it from students."
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
