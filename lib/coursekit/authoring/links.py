"""Where links lead: `python -m coursekit.authoring.links` checks those that stay in the repository.

`--site FOLDER` checks a built site instead: every link between its pages, every anchor, and that nothing is
loaded from elsewhere. `--external REPORT` tries the addresses outside, one after another for each host, and
writes which of them answer; that needs a network, so no test and no CI does it.
"""

import argparse
import re
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from coursekit.authoring.equations import EQ_REFERENCE, equations, markdown_cells
from coursekit.authoring.notebooks import is_percent

TEXTS = ("*.md", "docs/*.md", "book/pages/**/*.md")
NOTEBOOKS = ("chapters/*.py", "solutions/*.py", "exercises/*.py")
PAGES = "book/pages/"
BIBLIOGRAPHY = Path("chapters") / "references.bib"
LINK = re.compile(
    r"(?<!\\)!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target><[^>]*>|[^()\s]*(?:\([^()\s]*\))?[^()\s]*)\)"
)
ADDRESS = re.compile(r"https?://[^\s<>\"'`)\]}]+")
TITLE = re.compile(r"^(#+)\s+(.*)$", re.MULTILINE)
LABEL = re.compile(r"\$\$ *\(([\w-]+)\)")
CODE = re.compile(
    r"^(`{3,}|~{3,}).*?^\1`*\s*$|`[^`\n]*`|\$\$.*?\$\$|(?<!\\)\$[^$\n]+\$", re.DOTALL | re.MULTILINE
)
FIELD = re.compile(r"\s*(doi|eprint|url)\s*=\s*\{(.+)\},?\s*$")
PREFIXES = {"doi": "https://doi.org/", "eprint": "https://arxiv.org/abs/", "url": ""}
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
AGENT = "Mozilla/5.0 (compatible; link check of a course)"
# What a server answers to a program that it does not like, and not to a reader: to be looked at by hand.
SHY = {401, 403, 405, 406, 418, 429, 999}


@dataclass(frozen=True)
class Link:
    """A link: where it leads and where it stands."""

    target: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.target}"


# Links of the sources


def texts(root: Path) -> Iterator[tuple[Path, int, str]]:
    """Every piece of Markdown: its file, the line on which it starts, and itself with code blanked out."""
    for pattern in NOTEBOOKS:
        for path in sorted(root.glob(pattern)):
            if is_percent(path):
                for cell in markdown_cells(path):
                    yield path, cell.line, _without_code(cell.text)
    for pattern in TEXTS:
        for path in sorted(root.glob(pattern)):
            yield path, 1, _without_code(path.read_text(encoding="utf-8"))


def links(root: Path) -> list[Link]:
    """Every link of the sources, in Markdown's form."""
    return [
        Link(
            match["target"].strip("<>"),
            path.relative_to(root).as_posix(),
            line + text.count("\n", 0, match.start()),
        )
        for path, line, text in texts(root)
        for match in LINK.finditer(text)
    ]


def anchors(root: Path, path: Path) -> set[str]:
    """The anchors of a file: its headings, as GitHub and MyST name them, and of a notebook its places too."""
    source = path.with_suffix(".py") if path.suffix == ".ipynb" else path
    if source.suffix != ".py":
        return {slug(match[2]) for match in TITLE.finditer(source.read_text(encoding="utf-8"))}
    text = "\n".join(cell.text for cell in markdown_cells(source))
    return {slug(match[2]) for match in TITLE.finditer(text)} | places(source, text)


def places(source: Path, text: str) -> set[str]:
    """What the book numbers: equations and theorems by their labels, and `exercise-2-3`."""
    found = set(LABEL.findall(text)) | set(re.findall(r"^:label: (\S+)$", text, re.MULTILINE))
    chapter = re.match(r"(\d+)_", source.name)
    if chapter and source.parent.name in ("exercises", "solutions"):
        tasks = re.findall(r"^## (\d+)\. ", text, re.MULTILINE)
        found |= {f"exercise-{int(chapter[1])}-{task}" for task in tasks}
    return found


def slug(title: str) -> str:
    """`## 3 The bound` -> `3-the-bound`."""
    return re.sub(r"[\s]", "-", re.sub(r"[^\w\s-]", "", title.strip().lower()))


def problems(root: Path) -> list[str]:
    """Links to files and headings that are not there, and references to equations of another chapter."""
    found = []
    for link in links(root):
        parts = urlsplit(link.target)
        if parts.scheme or parts.netloc:
            continue
        base = root / link.path
        target = (base.parent / unquote(parts.path)).resolve() if parts.path else base
        if not target.exists() and link.path.startswith(PAGES):  # the book lays its pages beside the chapters
            target = (root / link.path.removeprefix(PAGES)).parent.joinpath(unquote(parts.path)).resolve()
        if not parts.path and not parts.fragment:
            found.append(f"{link}: an empty link")
        elif not target.exists():
            found.append(f"{link}: no such file")
        elif not target.is_relative_to(root.resolve()):
            found.append(f"{link}: outside the repository")
        elif parts.fragment and parts.fragment not in anchors(root, target):
            found.append(f"{link}: no such heading or label")
    chapters = {e.label: e.chapter for e in equations(root)}
    for path in sorted((root / "chapters").glob("*.py")):
        for cell in markdown_cells(path):
            for match in EQ_REFERENCE.finditer(cell.text):
                label = match[1].strip()
                other = chapters.get(label, path.stem)
                if other != path.stem:
                    where = f"chapters/{path.name}:{cell.line_of(match.start())}"
                    found.append(f"{where}: {label} is an equation of {other}; link {other}.ipynb#{label}")
    return found


def _without_code(text: str) -> str:
    return CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


# Links of a built site


class _Page(HTMLParser):
    """The anchors of a page, what it links and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.linked: list[tuple[str, int]] = []
        self.loaded: list[tuple[str, int]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        line = self.getpos()[0]
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.linked.append((values["href"], line))
        elif values.get(LOADED.get(tag, "")) and values.get("rel") not in ("canonical", "alternate"):
            self.loaded.append((values[LOADED[tag]], line))


def site_problems(folder: Path) -> list[str]:
    """Links of a built site that lead nowhere, and whatever its pages load from elsewhere."""
    read = {
        path: _Page(path.read_text(encoding="utf-8"))
        for path in sorted(folder.resolve().rglob("*.html"))
        if "_static" not in path.relative_to(folder.resolve()).parts  # a theme's templates
    }
    folder = folder.resolve()
    found = []
    for path, page in read.items():
        name = path.relative_to(folder).as_posix()
        for kind, targets in (("link", page.linked), ("load", page.loaded)):
            for target, line in targets:
                parts = urlsplit(target)
                if parts.scheme in ("http", "https") or parts.netloc:
                    if kind == "load":
                        found.append(f"{name}:{line}: {target}: loaded from elsewhere")
                    continue
                if parts.scheme:  # data:, mailto:, javascript:
                    continue
                at = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                at = at / "index.html" if at.is_dir() else at
                if not at.exists():
                    found.append(f"{name}:{line}: {target}: no such file")
                elif parts.fragment and at in read and unquote(parts.fragment) not in read[at].ids:
                    found.append(f"{name}:{line}: {target}: no such anchor")
    return found


# Addresses outside


def addresses(root: Path) -> dict[str, list[str]]:
    """Every address outside, and the places that name it; those of the bibliography's entries with it."""
    found: dict[str, list[str]] = defaultdict(list)
    for path, first, text in texts(root):
        for match in ADDRESS.finditer(text):
            line = first + text.count("\n", 0, match.start())
            found[match[0].rstrip(".,;:")].append(f"{path.relative_to(root).as_posix()}:{line}")
    path = root / BIBLIOGRAPHY
    if path.exists():
        for number, entry in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if named := FIELD.match(entry):
                found[PREFIXES[named[1]] + named[2]].append(f"{BIBLIOGRAPHY.as_posix()}:{number}")
    return dict(found)


def try_address(address: str, seconds: float = 20) -> tuple[int, str]:
    """Ask for an address: the status (0 if nobody answered), and where one ends up or what went wrong."""
    answer = 0, ""
    for method in ("HEAD", "GET"):  # some servers answer a reader's GET alone
        request = urllib.request.Request(address, method=method, headers={"User-Agent": AGENT})
        try:
            with urllib.request.urlopen(request, timeout=seconds) as reply:
                return int(reply.status), str(reply.url)
        except urllib.error.HTTPError as error:
            answer = int(error.code), str(error.reason)
        except (OSError, ValueError) as error:
            answer = 0, str(getattr(error, "reason", error))
    return answer


def try_all(
    found: Iterable[str], ask: Callable[[str], tuple[int, str]] = try_address, workers: int = 8
) -> dict[str, tuple[int, str]]:
    """Ask for many addresses: hosts side by side, the addresses of one host one after another."""
    hosts: dict[str, list[str]] = defaultdict(list)
    for address in found:
        hosts[urlsplit(address).netloc].append(address)
    with ThreadPoolExecutor(workers) as pool:
        answers = pool.map(lambda group: [(address, ask(address)) for address in group], hosts.values())
        return dict(pair for group in answers for pair in group)


def report(places: Mapping[str, list[str]], answers: Mapping[str, tuple[int, str]]) -> str:
    """The report: what is dead first, what a program may not see next, then the rest."""
    groups: dict[str, list[str]] = {"dead": [], "to be looked at": [], "moved": [], "fine": []}
    for address in sorted(places):
        status, detail = answers[address]
        shown = f"{status or 'none'}  {address}"
        if status in SHY:
            kind = "to be looked at"
        elif not 200 <= status < 400:
            kind = "dead"
        elif detail.rstrip("/") != address.rstrip("/"):
            kind, shown = "moved", f"{shown} -> {detail}"
        else:
            kind = "fine"
        if kind == "dead":
            shown += f" ({detail})"
        groups[kind].append("\n".join([shown, *(f"      {place}" for place in places[address])]))
    return (
        "\n\n".join(
            f"{kind}: {len(entries)}\n" + "\n".join(entries) for kind, entries in groups.items()
        ).rstrip()
        + "\n"
    )


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", type=Path, metavar="FOLDER", help="check a built site instead")
    parser.add_argument("--external", type=Path, metavar="REPORT", help="try the addresses outside")
    options = parser.parse_args(arguments)
    root = Path.cwd()
    if options.external:
        places = addresses(root)
        answers = try_all(places)
        options.external.parent.mkdir(parents=True, exist_ok=True)
        options.external.write_text(report(places, answers), encoding="utf-8")
        dead = [a for a, (status, _) in answers.items() if not 200 <= status < 400 and status not in SHY]
        print(f"{len(places)} addresses, {len(dead)} dead: {options.external}")
        return 1 if dead else 0
    found = site_problems(options.site) if options.site else problems(root)
    print("\n".join(found) or "every link leads somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
