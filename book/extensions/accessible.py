"""What Sphinx and its theme leave undone for those who hear a page instead of seeing it."""

import re
from typing import Any

from sphinx.application import Sphinx

FOLD = re.compile(r'(<a [^>]*href="[^"]*"[^>]*>)([^<]*)(</a>\s*<details[^>]*>\s*<summary)(>)')


def named(sidebar: str) -> str:
    """The sidebar's HTML in which the arrow that folds a section names the section that it opens."""
    return FOLD.sub(r'\1\2\3 aria-label="Pages of \2"\4', sidebar)


def listed(body: str) -> str:
    """A bibliography as a list of items: docutils gives its entries a role that no list may hold."""
    return body.replace('role="doc-biblioentry"', 'role="listitem"') if "citation-list" in body else body


def mend(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """Mend what the templates are about to take."""
    theirs = context.get("generate_toctree_html")
    if theirs is not None:
        context["generate_toctree_html"] = lambda *args, **options: named(str(theirs(*args, **options)))
    if "body" in context:
        context["body"] = listed(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", mend, priority=900)  # after the theme's own
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
