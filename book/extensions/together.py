"""What stays on one line: a formula and the mark that follows it, a number and its points.

MathJax makes a box of every formula, and a browser may break a line on either side of a box: the full stop
after a formula would begin the next line.
"""

import re
from typing import Any

from sphinx.application import Sphinx

FORMULA = re.compile(
    r"(?P<before>(?:(?<=[\s>])|^)\()?"
    r'<span class="math notranslate nohighlight">[^<]*</span>'
    r"(?P<after>[.,;:!?)’”]+)?"
)
POINTS = re.compile(r"\((\d+) (points?)\)")


def kept(formula: re.Match[str]) -> str:
    """A formula with its marks in an element that does not break; one without marks as it is."""
    if not (formula["before"] or formula["after"]):
        return formula[0]
    return f'<span class="dgm-together">{formula[0]}</span>'


def together(page: str) -> str:
    """The HTML of a page whose formulas keep their marks, and whose points keep their number."""
    return POINTS.sub(r"(\1&nbsp;\2)", FORMULA.sub(kept, page))


def mend(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """Mend the body that the template is about to take."""
    if "body" in context:
        context["body"] = together(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", mend)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
