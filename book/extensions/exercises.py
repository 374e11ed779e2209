"""Tasks are numbered over the whole book: the third of the diffusion models is Exercise 7.3, at exercise-7-3.

In its notebook it is headed `3. Find the bug`; the number of the chapter comes from the file's name.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PAGE = re.compile(r"exercises/(\d+)_")
TASK = re.compile(r"(\d+)\. ")


class NumberTasks(SphinxTransform):
    """Put the chapter's number before the task's, and make both an anchor."""

    default_priority = 705

    def apply(self, **kwargs: Any) -> None:
        page = PAGE.match(self.env.docname)
        if not page:
            return
        for section in self.document.findall(nodes.section):
            title = next(iter(section.findall(nodes.title)))
            task = TASK.match(title.astext())
            if task and isinstance(title[0], nodes.Text):
                number = f"{int(page[1])}.{task[1]}"
                title[0] = nodes.Text(f"Exercise {number}: {title[0].removeprefix(task[0])}")
                self.name(section, f"exercise-{number.replace('.', '-')}")

    def name(self, section: nodes.section, anchor: str) -> None:
        """Give a section one more name, which links and its own permalink use."""
        section["ids"].insert(0, anchor)
        section["names"].append(anchor)
        self.document.ids[anchor] = section
        self.document.nameids[anchor] = anchor
        self.document.nametypes[anchor] = True


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(NumberTasks)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
