"""What Sphinx and its theme leave undone for those who hear a page, or see it on a telephone."""

import re
from collections.abc import Callable
from typing import Any

from sphinx.application import Sphinx

FOLD = re.compile(r'(<a [^>]*href="[^"]*"[^>]*>)([^<]*)(</a>\s*<details[^>]*>\s*<summary)(>)')
# A name of code that is longer than this may break, after its signs.
NAME = re.compile(r'(?<=<span class="pre">)[^<\s]{17,}(?=</span>)')
OPENED = re.compile(r'<span class="sig-paren">\(</span>')
SIGN = re.compile(r"(?<=[^\W_])(::|[_./])(?=[^\W_])")


def named(sidebar: str) -> str:
    """The sidebar's HTML in which the arrow that folds a section names the section that it opens."""
    return FOLD.sub(r'\1\2\3 aria-label="Pages of \2"\4', sidebar)


def breakable(page: str) -> str:
    """HTML whose long names of code break after a dot, a slash or an underscore, and not within a word.

    A signature breaks after its opening parenthesis.
    """
    return OPENED.sub(r"\g<0><wbr>", NAME.sub(lambda name: SIGN.sub(r"\1<wbr>", name[0]), page))


def then(theirs: Callable[..., object], change: Callable[[str], str]) -> Callable[..., str]:
    """A function of the theme whose HTML is changed."""
    return lambda *args, **options: change(str(theirs(*args, **options)))


def mend(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """Mend what the templates are about to take."""
    for name, change in (("generate_toctree_html", named), ("generate_toc_html", breakable)):
        if name in context:
            context[name] = then(context[name], change)
    if "body" in context:
        context["body"] = breakable(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", mend, priority=900)  # after the theme's own
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
