"""Folded answers: an admonition of class dropdown is closed on the site until the reader opens it.

HTML's own `<details>` does it, without a script and from the keyboard. On paper the answer is an admonition.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


class Dropdown(nodes.General, nodes.Element):
    """`<details>`; its first child is the title."""


class DropdownTitle(nodes.TextElement):
    """`<summary>`"""


class Fold(SphinxPostTransform):
    """Turn admonitions of class dropdown into details."""

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for admonition in list(self.document.findall(nodes.admonition)):
            title = admonition[0] if len(admonition) else None
            if "dropdown" not in admonition["classes"] or not isinstance(title, nodes.title):
                continue
            folded = Dropdown("", ids=admonition["ids"])
            folded += DropdownTitle("", "", *title.children)
            folded += admonition.children[1:]
            admonition.replace_self(folded)


def visit_dropdown(self: Any, node: nodes.Element) -> None:
    """Opens the element."""
    self.body.append(self.starttag(node, "details", CLASS="admonition dropdown"))


def depart_dropdown(self: Any, node: nodes.Element) -> None:
    """Closes it."""
    self.body.append("</details>\n")


def visit_title(self: Any, node: nodes.Element) -> None:
    """Opens the title."""
    self.body.append(self.starttag(node, "summary", "", CLASS="admonition-title"))


def depart_title(self: Any, node: nodes.Element) -> None:
    """Closes it."""
    self.body.append("</summary>\n")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_node(Dropdown, html=(visit_dropdown, depart_dropdown))
    app.add_node(DropdownTitle, html=(visit_title, depart_title))
    app.add_post_transform(Fold)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
