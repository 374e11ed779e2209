"""The glossary: English terms with their Chinese and their meaning, from `book/glossary.toml`.

It is made with Sphinx's own directive, so that `{term}` links to an entry, and every term, in both languages,
stands in the general index (the Chinese ones together under one heading).
"""

import re
import tomllib
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path

from coursekit.authoring.equations import equations, markdown_cells

SOURCE = Path("book") / "glossary.toml"
PAGE = "reference/glossary.md"
HEADING = "中文"  # of the Chinese terms in the general index
MARKED = "language-zh-Hans"  # docutils turns the class into lang="zh-Hans"


@dataclass(frozen=True)
class Term:
    """An entry.

    Args:
        en: the English term as in a running sentence.
        zh: the Chinese, the usual one first.
        means: one sentence.
        see: label of an equation, or name of a chapter.
        word: how the chapter writes it.
    """

    en: str
    zh: tuple[str, ...]
    means: str
    see: str
    word: str


def pages(root: Path, edition: str) -> dict[str, str]:
    """The page in the source tree, the same in both editions."""
    return {PAGE: page(read(root), {e.label for e in equations(root)})}


def read(root: Path) -> list[Term]:
    """The entries in the order of the file."""
    data = tomllib.loads((root / SOURCE).read_text(encoding="utf-8"))
    return [Term(t["en"], tuple(t["zh"]), t["means"], t["see"], t.get("word", t["en"])) for t in data["term"]]


def page(terms: list[Term], labels: set[str]) -> str:
    """The whole page in MyST.

    Args:
        terms: in the order of the page.
        labels: of the equations; what is not among them is a chapter.
    """
    letters = [
        (letter, [entry(term, term.see in labels) for term in group])
        for letter, group in groupby(terms, key=lambda term: term.en[0].upper())
    ]
    parts = [
        f"(glossary-{letter.lower()})=\n```{{rubric}} {letter}\n```\n\n````{{glossary}}\n"
        + "\n".join(entries)
        + "\n````\n"
        for letter, entries in letters
    ]
    return "\n".join(
        [
            '---\nmyst:\n  enable_extensions: ["attrs_inline", "dollarmath"]\n---\n',
            "(glossary)=\n# Glossary\n",
            f"{len(terms)} terms with their Chinese names and the place where the course introduces them. "
            "Where several Chinese names are in use, the others stand behind the explanation.\n",
            " ".join(f"[{letter}](#glossary-{letter.lower()})" for letter, _ in letters),
            "",
            *parts,
        ]
    )


def entry(term: Term, is_equation: bool) -> str:
    """Two names, and a paragraph that says what they mean and where they come from."""
    place = f"{{eq}}`{term.see}`" if is_equation else f"{{doc}}`/chapters/{term.see}`"
    others = "、".join(term.zh[1:])
    also = f" Also [{others}]{{.{MARKED}}}." if others else ""
    shown = f"[{term.zh[0]}]{{.{MARKED}}} : {HEADING}"
    return f"{term.en}\n{shown}\n    {term.means}{also} See {place}.\n"


def problems(root: Path) -> list[str]:
    """What is missing, doubled, out of order or leads nowhere; empty when all is well."""
    terms = read(root)
    chapters = {e.label: e.chapter for e in equations(root)}
    texts = {
        path.stem: " ".join(" ".join(cell.text for cell in markdown_cells(path)).split()).lower()
        for path in sorted((root / "chapters").glob("*.py"))
    }
    found = []
    names = [t.en.lower() for t in terms]
    found += [f"{b!r} stands after {a!r}" for a, b in pairwise(names) if a > b]
    chinese = [name for t in terms for name in t.zh]
    for kind, values in (("term", names), ("Chinese name", chinese)):
        found += [f"{kind} {v!r} twice" for v in sorted({v for v in values if values.count(v) > 1})]
    for term in terms:
        if not any(re.search(r"[\u4e00-\u9fff]", name) for name in term.zh):
            found.append(f"{term.en}: no Chinese name")
        if not term.means.endswith(".") or len(term.means) < 20 or ". " in term.means.rstrip("."):
            found.append(f"{term.en}: its meaning is not one sentence")
        chapter = chapters.get(term.see, term.see)
        if chapter not in texts:
            found.append(f"{term.en}: neither an equation nor a chapter is called {term.see!r}")
        elif not re.search(rf"(?<![a-z]){re.escape(term.word.lower())}", texts[chapter]):
            found.append(f"{term.en}: {term.word!r} does not occur in {chapter}")
    return found
