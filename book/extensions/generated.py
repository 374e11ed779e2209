"""What the generated pages need of Sphinx: their style and script, and how a citation reads."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybtex.richtext import BaseText
from sphinxcontrib.bibtex.plugin import register_plugin
from sphinxcontrib.bibtex.style.referencing import BracketStyle
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

STATIC = Path(__file__).resolve().parent.parent / "static"


def _no_brackets() -> BracketStyle:
    return BracketStyle(left="", right="")


@dataclass
class BareAuthorYear(AuthorYearReferenceStyle):
    """Kingma and Welling 2014: a chapter sets its own parentheses, since it often puts more into them."""

    bracket_parenthetical: BracketStyle = field(default_factory=_no_brackets)
    author_year_sep: BaseText | str = " "


def mend_lists(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Sphinx calls the bibliography a list, and its entries by a role that is out of use and no list's."""
    if context.get("body"):
        context["body"] = context["body"].replace(' role="doc-biblioentry"', ' role="listitem"')


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    register_plugin("sphinxcontrib.bibtex.style.referencing", "bare_author_year", BareAuthorYear)
    app.connect("html-page-context", mend_lists)
    app.add_css_file("generated.css")
    app.add_js_file("equations.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
