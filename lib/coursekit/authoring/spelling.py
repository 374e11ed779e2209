"""Spelling: `python -m coursekit.authoring.spelling` prints the words that no list knows, and American forms.

Prose alone is read: code, formulas, roles, labels and the targets of links are taken out first. A word passes
if an English dictionary has it, or the field's own list, `tests/site/words.txt`. The course is written in
British English; the commonest American forms are faults even though the dictionary has them.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from coursekit.authoring.equations import markdown_cells
from coursekit.authoring.notebooks import is_percent

WORDS = Path("tests") / "site" / "words.txt"
TEXTS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "book/pages/**/*.md", "book/glossary.toml")
NOTEBOOKS = ("chapters/*.py", "solutions/*.py")
# A table of names and expressions that a program has made is no prose.
GENERATED = re.compile(r"# [^\n]*\n\nWritten by `make ")
# Stems of American forms with the British in their place; what follows the stem is free.
AMERICAN = {
    "behavior": "behaviour",
    "center": "centre",
    "color": "colour",
    "favor": "favour",
    "fulfill": "fulfil",
    "gray": "grey",
    "honor": "honour",
    "labeled": "labelled",
    "labeling": "labelling",
    "modeled": "modelled",
    "modeling": "modelling",
    "neighbor": "neighbour",
    "practicing": "practising",
    "signaled": "signalled",
    "traveled": "travelled",
    "analyz": "analys",
    "(?:de)?quantiz": "quantis",
    "generaliz": "generalis",
    "initializ": "initialis",
    "maximiz": "maximis",
    "minimiz": "minimis",
    "memoriz": "memoris",
    "(?:re|un)?normaliz": "normalis",
    "optimiz": "optimis",
    "organiz": "organis",
    "(?:re)?parametriz": "parametris",
    "(?:re)?parameteriz": "parameteris",
    "penaliz": "penalis",
    "recogniz": "recognis",
    "regulariz": "regularis",
    "realiz": "realis",
    "standardiz": "standardis",
    "discretiz": "discretis",
    "factoriz": "factoris",
    "amortiz": "amortis",
    "summariz": "summaris",
    "visualiz": "visualis",
    "vectoriz": "vectoris",
    "randomiz": "randomis",
}
AMERICAN_FORM = re.compile(rf"\b(?:{'|'.join(AMERICAN)})\w*", re.IGNORECASE)
# Titles of works and names of their authors are spelt as they are.
NOT_PROSE = [
    re.compile(r"^---\n.*?^---$", re.DOTALL | re.MULTILINE),  # front matter
    re.compile(r"^(`{3,}|~{3,}).*?^\1`*\s*$", re.DOTALL | re.MULTILINE),
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"\$\$.*?\$\$(?:[ \t]*\([\w:-]+\))?", re.DOTALL),
    re.compile(r"(?<![\\$])\$(?!\s)[^$]+?\$", re.DOTALL),
    re.compile(r"\{[\w:]+\}`[^`]*`"),  # roles
    re.compile(r"``.+?``|`[^`]*`", re.DOTALL),
    re.compile(r"^:::+\{[\w:-]+\}", re.MULTILINE),
    re.compile(r"^:[\w-]+:.*$", re.MULTILINE),  # options of directives
    re.compile(r"\[[^\[\]]+\s\d{4}\]\(https://[^()\s]+\)"),  # citations
    re.compile(r"(?<=\])\([^)\s]*\)"),  # targets of links
    re.compile(r"<?https?://[^\s>)]+>?"),
    re.compile(r"</?\w[^>]*>"),
    re.compile(r"&\w+;"),
]
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@dataclass(frozen=True)
class Word:
    """A word of the text, and where it stands."""

    text: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def prose(text: str) -> str:
    """The text with all that is not prose blanked out, line by line in its place."""
    for pattern in NOT_PROSE:
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


def texts(root: Path) -> Iterator[tuple[str, int, str]]:
    """The prose of the course, the words of its figures with it: path, number of the first line, text."""
    for pattern in NOTEBOOKS:
        for path in sorted(root.glob(pattern)):
            if is_percent(path):
                name = path.relative_to(root).as_posix()
                for cell in markdown_cells(path):
                    yield name, cell.line, prose(cell.text)
                for line, text in figure_texts(path):
                    yield name, line, prose(text)
    for pattern in TEXTS:
        for path in sorted(root.glob(pattern)):
            name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
            if path.suffix == ".toml":  # of the glossary, the meanings
                text = "\n".join(line[8:] if line.startswith("means = ") else "" for line in text.split("\n"))
            if not GENERATED.match(text):
                yield name, 1, prose(text)


def figure_texts(path: Path) -> Iterator[tuple[int, str]]:
    """What a notebook says of its figures: the text of every `alt=` and `caption=`, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg in ("alt", "caption"):
            for part in ast.walk(node.value):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    yield part.lineno, part.value


def words(root: Path) -> Iterator[Word]:
    """Every word of the course's prose."""
    for path, first, text in texts(root):
        for number, line in enumerate(text.split("\n"), start=first):
            for match in WORD.finditer(line):
                yield Word(match[0].replace("’", "'"), path, number)


def american(root: Path) -> list[Word]:
    """American forms in the course's prose."""
    return [
        Word(match[0], path, number)
        for path, first, text in texts(root)
        for number, line in enumerate(text.split("\n"), start=first)
        for match in AMERICAN_FORM.finditer(line)
    ]


def known(root: Path) -> list[str]:
    """The field's own words, in the order of the file; lines that start with # are comments."""
    lines = (root / WORDS).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@cache
def _dictionary() -> frozenset[str]:
    from spellchecker import SpellChecker

    return frozenset(SpellChecker(language="en", distance=1).word_frequency.words())


def is_english(word: str) -> bool:
    """Whether the dictionary has the word, its form without a possessive, or its American twin."""
    lower = word.lower().removesuffix("'s").removesuffix("s'")
    if len(lower) == 1 or lower in _dictionary() or word.lower() in _dictionary():
        return True
    twins = (re.sub(r"is(e|ed|es|er|ers|ing|able|ation|ations)$", r"iz\1", lower), lower.replace("our", "or"))
    return any(twin in _dictionary() for twin in twins)


def misspelt(root: Path) -> list[Word]:
    """The words that neither the dictionary nor the field's list knows. Names in capitals pass."""
    field = {word.lower() for word in known(root)}
    return [
        w
        for w in words(root)
        if not _is_acronym(w.text)
        and w.text.lower() not in field
        and w.text.lower().removesuffix("'s") not in field
        and not is_english(w.text)
    ]


def unused(root: Path) -> list[str]:
    """Words of the field's list that the course does not use, or that the dictionary has anyway."""
    used = {word.text.lower() for word in words(root)}
    used |= {word.removesuffix("'s") for word in used}
    return [word for word in known(root) if word.lower() not in used or is_english(word)]


def _is_acronym(word: str) -> bool:
    stem = word.removesuffix("'s").removesuffix("s")
    return len(stem) > 1 and stem.isupper()


def main() -> int:
    """Print what is wrong; the exit status says whether something is."""
    root = Path.cwd()
    wrong = [*misspelt(root), *american(root)]
    print("\n".join(str(word) for word in wrong) or "no word that the lists do not know")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
