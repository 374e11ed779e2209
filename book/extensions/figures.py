"""Figures of the chapters become numbered figures that one can link to: Figure 2.3, with the anchor fig-2-3.

`coursekit.figure` and `coursekit.frames` leave a `<figure>` in a cell's output (and a PNG for print); here it
is wrapped into a figure of Sphinx's, which counts it. Its caption moves to where the number is.
"""

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from extensions.numbering import number_of

FIGURE = re.compile(r'<figure class="dgm-figure"[^>]*>(.*)</figure>', re.DOTALL)
CAPTION = re.compile(r"\s*<figcaption[^>]*>(.*?)</figcaption>", re.DOTALL)


class NumberFigures(SphinxTransform):
    """Wrap the outputs of `figure` and `frames` into numbered figures, in chapters only."""

    default_priority = 700

    def apply(self, **kwargs: Any) -> None:
        number = number_of(self.env.docname)
        if number is None:
            return
        count = 0
        for bundle in list(self.document.findall(nodes.container)):
            if bundle.get("nb_element") != "mime_bundle":
                continue
            for raw in bundle.findall(nodes.raw):
                if raw.get("format") == "html" and FIGURE.search(raw.astext()):
                    count += 1
                    self.wrap(bundle, raw, f"fig-{number}-{count}")
                    break

    def wrap(self, bundle: nodes.container, raw: nodes.raw, anchor: str) -> None:
        source = raw.astext()
        written = CAPTION.search(source)
        text = html.unescape(written[1]) if written else ""
        source = FIGURE.sub(r'<div class="dgm-figure">\1</div>', CAPTION.sub("", source))
        raw.children = []
        raw.append(nodes.Text(source))
        raw.rawsource = source
        # A caption is never empty: Sphinx numbers only what has one.
        caption = nodes.caption(text, text or "\u200b")
        figure = nodes.figure("", ids=[anchor], names=[anchor], classes=["dgm"])
        figure.source, figure.line = bundle.source, bundle.line
        bundle.replace_self(figure)
        figure += [bundle, caption]
        self.document.note_explicit_target(figure)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(NumberFigures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
