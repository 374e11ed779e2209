"""Links from notebook to notebook that name a place in it: in the book they show its number.

A chapter writes `the [importance-weighted bound](02_vae.ipynb#vae-iwae)`. In JupyterLab and on a code host it
leads to the chapter; here it becomes: the importance-weighted bound (2.19), and the number leads to the
equation. A place is named by

- the label of an equation;
- the label of a theorem: Tweedie's formula (Theorem 7.1);
- `fig-2-3`, for the third figure of chapter 2, or `exercise-2-3`: the bug (exercise 2.3).

A link whose text has the number stays as it is. A place that is nowhere is MyST's warning.
"""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

NUMBERED = re.compile(r"(fig|exercise)-(\d+)-(\d+)")
NAMES = {"fig": "figure", "exercise": "exercise"}


class Cross(SphinxPostTransform):
    """Turn such links into their text and a reference that shows the number."""

    default_priority = 4  # before LaTeX takes its equations, MyST its links, and Sphinx its references

    def run(self, **kwargs: Any) -> None:
        for link in list(self.document.findall(addnodes.pending_xref)):
            names_a_place = link.get("refdomain") == "doc" and link.get("reftargetid")
            if names_a_place and (shown := list(self.numbered(link))):
                link.replace_self(shown)

    def numbered(self, link: addnodes.pending_xref) -> Iterator[nodes.Node]:
        """What stands in the place of a link; nothing: it stays."""
        page, label = link["reftarget"], link["reftargetid"]
        equation = self.env.domains["math"].data["objects"].get(label)
        theorem = getattr(self.env, "proof_list", {}).get(label)
        if equation and equation[0] == page:
            yield from link[0].children
            yield nodes.Text("\N{NO-BREAK SPACE}")
            yield self.reference("math", "eq", label)
        elif theorem and theorem["docname"] == page:
            yield from link[0].children
            yield nodes.Text(" (")
            yield self.reference("prf", "ref", label)
            yield nodes.Text(")")
        elif place := NUMBERED.fullmatch(label):
            number = f"{place[2]}.{place[3]}"
            if number not in link.astext():
                shown = link.deepcopy()
                shown.children = []
                shown += nodes.inline("", f"{NAMES[place[1]]} {number}", classes=link[0]["classes"])
                yield from link[0].children
                yield nodes.Text(" (")
                yield shown
                yield nodes.Text(")")

    def reference(self, domain: str, kind: str, label: str) -> addnodes.pending_xref:
        """As the role of the same name makes it."""
        found = addnodes.pending_xref(
            "", refdomain=domain, reftype=kind, reftarget=label, refdoc=self.env.docname, refexplicit=False
        )
        found += nodes.literal("", label, classes=["xref", kind])
        return found


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(Cross)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
