"""Chapter numbers as the files have them: 02_vae is chapter 2, its equations are (2.1), (2.2), ...

Sphinx numbers chapters from 1 and every section below them; the course starts at 0, and its sections carry
their own numbers in their headings. So the chapters' numbers are set here, and Sphinx counts figures,
equations and theorems from them. LaTeX counts for itself.
"""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector

CHAPTER = re.compile(r"chapters/(\d+)_")


def number_of(docname: str) -> int | None:
    """2 for chapters/02_vae, None for a page that is no chapter."""
    found = CHAPTER.match(docname)
    return int(found[1]) if found else None


def number_chapters(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """After Sphinx has numbered: set the chapters' numbers and count figures and equations again."""
    before = {name: dict(numbers) for name, numbers in env.toc_fignumbers.items()}
    for docname in env.found_docs:
        number = number_of(docname)
        if number is None:
            continue
        # The key of the title alone: with the key "" every heading of the page would show the number.
        title = next(iter(env.get_doctree(docname).findall(nodes.section)))
        env.toc_secnumbers[docname] = {f"#{title['ids'][0]}": (number,)}
        for link in _first_link(env.tocs[docname]):
            link["secnumber"] = (number,)
    changed = TocTreeCollector().assign_figure_numbers(env)
    return [name for name in changed if env.toc_fignumbers.get(name) != before.get(name)]


def _first_link(toc: nodes.Element) -> Iterator[nodes.reference]:
    yield from list(toc.findall(nodes.reference))[:1]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("env-get-updated", number_chapters, priority=900)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
