"""Citations: a chapter writes a plain link to the work, `[Kingma and Welling 2014](https://arxiv.org/abs/...)`.

JupyterLab and a code host know no bibliography, and there the link leads to the work itself. In the book it
becomes a citation, which leads to the bibliography. What the link says is what a citation says: `problems`
finds those that say something else, and works that the bibliography lacks.
"""

import json
import re
from functools import cache
from pathlib import Path

from pybtex.database import Entry, parse_file

from coursekit.authoring.bibliography import LINK, SOURCE, works
from coursekit.authoring.equations import CITE_REFERENCE, markdown_cells

# Hosts of nothing but works: who links one cites it.
HOSTS = (
    "https://arxiv.org/",
    "https://doi.org/",
    "https://openreview.net/",
    "https://proceedings.mlr.press/",
)


@cache
def keys(root: Path) -> dict[str, str]:
    """From the address of a work to its key."""
    return {work.address: work.key for work in works(root)}


@cache
def texts(root: Path) -> dict[str, str]:
    """From the key of a work to what a citation of it says."""
    entries = parse_file(str(root / SOURCE), bib_format="bibtex").entries
    return {key: text_of(entry) for key, entry in entries.items()}


def text_of(entry: Entry) -> str:
    """Who wrote a work, and when: Burda et al. 2016."""
    names = [
        " ".join(str(part) for part in (*person.rich_prelast_names, *person.rich_last_names))
        for person in entry.persons["author"]
    ]
    who = " and ".join(names) if len(names) <= 2 else f"{names[0]} et al."
    return f"{who} {entry.fields['year']}"


def cited(content: bytes, root: Path) -> bytes:
    """A notebook's file in which links to works are citations; one without any is returned as it is.

    Args:
        content: the notebook's JSON.
        root: of the repository.
    """
    notebook, known, changed = json.loads(content), keys(root), False
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            before = "".join(cell["source"])
            cell["source"] = with_roles(before, known)
            changed |= cell["source"] != before
    return json.dumps(notebook, ensure_ascii=False, indent=1).encode() if changed else content


def with_roles(text: str, known: dict[str, str]) -> str:
    """Markdown in which links to the known addresses are roles of Sphinx's."""

    def role(link: re.Match[str]) -> str:
        key = known.get(link["address"])
        return f"{{cite}}`{key}`" if key else link[0]

    return LINK.sub(role, text)


def problems(root: Path) -> list[str]:
    """What a chapter cites in another way, by other words, or though the bibliography lacks it."""
    known, said, found = keys(root), texts(root), []
    for path in sorted((root / "chapters").glob("*.py")):
        for cell in markdown_cells(path):
            name = path.relative_to(root).as_posix()
            for role in CITE_REFERENCE.finditer(cell.text):
                found.append(f"{name}:{cell.line_of(role.start())}: {role[0]} is no link to the work")
            for link in LINK.finditer(cell.text):
                place = f"{name}:{cell.line_of(link.start())}"
                key, text = known.get(link["address"]), " ".join(link["text"].split())
                if key and text != said[key]:
                    found.append(f"{place}: {text!r} should be {said[key]!r}")
                elif not key and link["address"].startswith(HOSTS):
                    found.append(f"{place}: {SOURCE.as_posix()} has no work at {link['address']}")
    return found
