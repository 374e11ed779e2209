"""Names for the arrows that fold the sidebar's sections: the theme gives them none for screen readers."""

import re
from typing import Any

from sphinx.application import Sphinx

FOLD = re.compile(r'(<a [^>]*href="[^"]*"[^>]*>)([^<]*)(</a>\s*<details[^>]*>\s*<summary)(>)')


def named(html: str) -> str:
    """The sidebar's HTML in which every fold names the section that it opens."""
    return FOLD.sub(r'\1\2\3 aria-label="Pages of \2"\4', html)


def name_folds(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Let the templates see the sidebar's tree with names."""
    theirs = context.get("generate_toctree_html")
    if theirs is not None:
        context["generate_toctree_html"] = lambda *args, **options: named(str(theirs(*args, **options)))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", name_folds, priority=900)  # after the theme's own
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
