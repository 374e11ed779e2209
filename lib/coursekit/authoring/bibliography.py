"""What the bibliography lacks: `python -m coursekit.authoring.bibliography` prints it.

A chapter cites a work by a link to it, whose text says who and when: in JupyterLab it leads to the work, and
in the book to the bibliography. An entry is of use if a chapter, a solution or an exercise cites it, or if a
docstring of dgm names its first author and its year as a source.
"""

import re
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

from coursekit.authoring.equations import cite_references, markdown_cells

SOURCE = Path("chapters") / "references.bib"
ENTRY = re.compile(r"^@(?P<kind>\w+)\{(?P<key>[^,\s]+),\n(?P<body>.*?)^\}$", re.DOTALL | re.MULTILINE)
FIELD = re.compile(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", re.MULTILINE)
ADDRESSES = ("doi", "eprint", "url")
LINK = re.compile(r"\[(?P<text>[^\[\]]+)\]\((?P<address>https://[^()\s]+)\)")
SHAPES = {
    "doi": re.compile(r"10\.\d{4,9}/\S+"),
    "eprint": re.compile(r"\d{4}\.\d{4,5}"),
    "url": re.compile(r"https://\S+"),
}
# Where a work has appeared; a preprint and a book's publisher count.
VENUES = ("journal", "booktitle", "publisher", "institution", "eprint")


@dataclass(frozen=True)
class Work:
    """An entry of the bibliography."""

    key: str
    kind: str
    fields: dict[str, str]

    @property
    def address(self) -> str:
        """What a citation links: where one may read the work for nothing, if it is known."""
        if eprint := self.fields.get("eprint"):
            return f"https://arxiv.org/abs/{eprint}"
        if doi := self.fields.get("doi"):
            return f"https://doi.org/{quote(doi, safe='/')}"
        return self.fields.get("url", "")

    @property
    def first_author(self) -> str:
        """Family name of the first author, accents of LaTeX taken off."""
        family = self.fields.get("author", "").split(" and ")[0].partition(",")[0]
        return re.sub(r"\\[^a-zA-Z]|\\[a-zA-Z]\s*|[{}]", "", family)


def works(root: Path) -> list[Work]:
    """The entries in the order of the file."""
    text = (root / SOURCE).read_text(encoding="utf-8")
    return [
        Work(match["key"], match["kind"].lower(), {f[1].lower(): f[2] for f in FIELD.finditer(match["body"])})
        for match in ENTRY.finditer(text)
    ]


def problems(root: Path) -> list[str]:
    """Entries that are incomplete, out of order, of no use, or lead nowhere; empty when all is well."""
    found = []
    entries = works(root)
    keys = [work.key for work in entries]
    found += [f"{b} stands after {a}" for a, b in pairwise(keys) if a > b]
    for work in entries:
        found += [
            f"{work.key}: no {name}" for name in ("author", "title", "year") if not work.fields.get(name)
        ]
        if not any(work.fields.get(name) for name in VENUES):
            found.append(f"{work.key}: not said where it appeared")
        if not any(work.fields.get(name) for name in ADDRESSES):
            found.append(f"{work.key}: no doi, eprint or url")
        for name, shape in SHAPES.items():
            value = work.fields.get(name)
            if value and not shape.fullmatch(value):
                found.append(f"{work.key}: {value!r} is no {name}")
        if work.fields.get("eprint") and work.fields.get("archiveprefix") != "arXiv":
            found.append(f"{work.key}: an eprint needs archiveprefix = {{arXiv}}")
        year = re.search(r"\d{4}", work.key)
        if year and year[0] != work.fields.get("year"):
            found.append(f"{work.key}: the key says {year[0]}, the entry {work.fields.get('year')}")
    return found + [f"{key}: nothing cites it" for key in unused(root)]


def unused(root: Path) -> list[str]:
    """Keys of the entries that neither a notebook cites nor a docstring of dgm names."""
    cited = {reference.target for reference in cite_references(root)}
    linked = {
        link["address"]
        for folder in ("chapters", "solutions", "exercises")
        for path in sorted((root / folder).glob("*.py"))
        for cell in markdown_cells(path)
        for link in LINK.finditer(cell.text)
    }
    sources = "\n".join(p.read_text(encoding="utf-8") for p in sorted((root / "lib" / "dgm").rglob("*.py")))
    return [
        work.key
        for work in works(root)
        if work.key not in cited
        and work.address not in linked
        and not re.search(rf"\b{re.escape(work.first_author)}\b[^\n]*\b{work.fields.get('year')}\b", sources)
    ]


def main() -> int:
    """Print what is wrong; the exit status says whether something is."""
    found = problems(Path.cwd())
    print("\n".join(found) or "the bibliography is complete")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
