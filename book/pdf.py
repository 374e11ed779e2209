"""Build the printed book: `python book/pdf.py` (or `make book-pdf`), in book/_build/<edition>/.

Sphinx writes LaTeX from the sources of the site, with a contents and a preface of its own in `book/latex/`;
latexmk runs xelatex on it. What the generators make is in it, but for the reference of dgm, which is for
searching. The build fails on a LaTeX error, a dead reference, and a character that no font has.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path[:0] = [str(BOOK)]

import build as site  # noqa: E402
import paper  # noqa: E402
from extensions.printing import NAME  # noqa: E402

# What is looked for -> the Debian package that has it.
PROGRAMS = {
    "xelatex": "texlive-xetex",
    "latexmk": "latexmk",
    "makeindex": "texlive-binaries",
    "kpsewhich": "texlive-binaries",
    "fc-list": "fontconfig",
}
STYLES = {
    "fontspec.sty": "texlive-latex-recommended",
    "polyglossia.sty": "texlive-latex-recommended",
    "accsupp.sty": "texlive-latex-extra",
    "titlesec.sty": "texlive-latex-extra",
    "tabulary.sty": "texlive-latex-extra",
    "needspace.sty": "texlive-latex-extra",
    "pzdr.tfm": "texlive-fonts-recommended",
    "lmroman10-regular.otf": "fonts-lmodern",
}
FONTS = {
    "DejaVu Sans": "fonts-dejavu-core",
    "DejaVu Sans Mono": "fonts-dejavu-core",
    "Noto Serif CJK SC": "fonts-noto-cjk",
    "Noto Sans CJK SC": "fonts-noto-cjk",
}
REFERENCE_OF_DGM = "reference/dgm/"
# An overfull line that one sees: it ends this much into the margin.
SEEN = 12.0  # points


def missing() -> dict[str, str]:
    """What this machine lacks to set the book: name -> Debian package."""
    lacks = {name: package for name, package in PROGRAMS.items() if shutil.which(name) is None}
    if "kpsewhich" not in lacks:
        lacks |= {name: package for name, package in STYLES.items() if not _output("kpsewhich", name).strip()}
    if "fc-list" not in lacks:
        lacks |= {name: package for name, package in FONTS.items() if not _output("fc-list", name).strip()}
    return lacks


def advice(lacks: Mapping[str, str]) -> str:
    """What to install, for one who reads an error."""
    packages = " ".join(sorted(set(lacks.values())))
    return (
        f"The PDF needs what this machine does not have: {', '.join(lacks)}.\n"
        f"On Debian or Ubuntu: sudo apt-get install {packages}\n"
        "The site needs none of it: make book"
    )


def tree(edition: str, chapters: Sequence[str] = ()) -> dict[str, bytes]:
    """The sources of the printed book.

    Args:
        edition: student or instructor.
        chapters: names such as 02_vae, if only these are wanted, for a quick look.

    Raises:
        ValueError: a chapter that does not exist.
    """
    notebooks = site.notebooks(edition)
    known = [Path(name).stem for name in notebooks if name.startswith("chapters/")]
    if unknown := sorted(set(chapters) - set(known)):
        raise ValueError(f"no chapter is called {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [name for name in known if not chapters or name in chapters]
    kept = {name: content for name, content in notebooks.items() if Path(name).stem in chosen}
    if not chapters:  # what the generators make refers to all of the book
        kept |= site.generated(edition)
    kept |= {name: text.encode() for name, text in paper.pages(ROOT, chosen).items()}
    reference = sorted(
        name for name in kept if name.startswith("reference/") and not name.startswith(REFERENCE_OF_DGM)
    )
    parts = {
        "chapters": [f"chapters/{name}" for name in chosen],
        "exercises": [f"exercises/{name}" for name in chosen],
        "reference": [name.removesuffix(".md") for name in reference],
    }
    index = (BOOK / "latex" / "index.md").read_text(encoding="utf-8")
    for part, names in parts.items():
        index = index.replace(f"<!-- {part} -->", "\n".join(names))
    preface = (BOOK / "latex" / "preface.md").read_text(encoding="utf-8")
    shown = (
        "This is the instructors' edition: every exercise is shown with its solution."
        if edition == "instructor"
        else ""
    )
    kept["index.md"] = index.encode()
    kept["preface.md"] = preface.replace("<!-- edition -->", shown).encode()
    return kept


def epoch() -> str:
    """Seconds that stand for today, so that equal sources make equal files: the last commit's, if known."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    return given or _output("git", "-C", str(ROOT), "log", "-1", "--format=%ct").strip()


def typeset(folder: Path) -> Path:
    """Run latexmk in the folder that Sphinx filled.

    Returns:
        The PDF.

    Raises:
        RuntimeError: LaTeX failed; the message holds its error.
    """
    command = [
        "latexmk",
        "-pdfxe",
        "-dvi-",
        "-ps-",
        "-interaction=nonstopmode",
        "-halt-on-error",
        "-file-line-error",
        "-silent",
        f"{NAME}.tex",
    ]
    environment = os.environ | {"FORCE_SOURCE_DATE": "1", "LATEXOPTS": "", "max_print_line": "1000"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )
    log = folder / f"{NAME}.log"
    if done.returncode:
        text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else done.stdout
        raise RuntimeError(
            f"xelatex failed; {log} says:\n{first_error(text) or done.stdout[-3000:] + done.stderr[-1000:]}"
        )
    return folder / f"{NAME}.pdf"


def first_error(log: str) -> str:
    """The first error of a LaTeX log with the lines that follow it; empty if there is none."""
    lines = log.splitlines()
    for i, line in enumerate(lines):
        if line.startswith("! ") or re.match(r"^\S+?:\d+: ", line):
            return "\n".join(lines[i : i + 8])
    return ""


def faults(log: str) -> list[str]:
    """What must not be in a finished book: signs that no font has, dead references, labels given twice."""
    patterns = (
        r"^Missing character: .*$",
        r"^.*Reference .* undefined.*$",
        r"^.*Citation .* undefined.*$",
        r"^.*Hyper reference .* undefined.*$",
        r"^.*multiply[ -]defined.*$",
    )
    found = [line for pattern in patterns for line in re.findall(pattern, log, re.MULTILINE)]
    return list(dict.fromkeys(found))


def overfull(log: str) -> list[tuple[float, str]]:
    """Lines that reach into the margin, the worst first: points, and where."""
    found = re.findall(r"^Overfull \\hbox \(([\d.]+)pt too wide\) (.*)$", log, re.MULTILINE)
    return sorted(((float(points), where) for points, where in found), reverse=True)


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="book/pdf.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "chapters", nargs="*", metavar="CHAPTER", help="only these, such as 02_vae, for a quick look"
    )
    parser.add_argument(
        "--edition", choices=site.EDITIONS, default="student", help="whose (default: student)"
    )
    parser.add_argument("--out", type=Path, help="build folder (default: book/_build/<edition>)")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier builds left")
    options = parser.parse_args(arguments)
    if lacks := missing():
        print(advice(lacks), file=sys.stderr)
        return 1
    out = (options.out or BOOK / "_build" / options.edition).resolve()
    work = out / "print"
    if options.fresh and work.is_dir():
        shutil.rmtree(work)
    if stamp := epoch():
        os.environ["SOURCE_DATE_EPOCH"] = stamp
    began = time.perf_counter()
    try:
        sources = tree(options.edition, options.chapters)
        # A part of the book refers to chapters that are not in it.
        folder = site.build(
            "latex", options.edition, work, tree=sources, strict=not options.chapters, further=["-t", "print"]
        )
        written = time.perf_counter()
        pdf = typeset(folder)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except (RuntimeError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    log = (folder / f"{NAME}.log").read_text(encoding="utf-8", errors="replace")
    wide = [entry for entry in overfull(log) if entry[0] > SEEN]
    for points, where in wide:
        print(f"{points:.0f} points into the margin: {where}")
    found = faults(log)
    if options.chapters:
        found = [fault for fault in found if not re.search(r"Hyper reference `[^']*\.(ipynb|md)'", fault)]
    if found:
        print("\n".join(found), file=sys.stderr)
        print(
            f"The book has {len(found)} faults, see above; {folder / NAME}.log has them all.", file=sys.stderr
        )
        return 1
    target = out / f"{NAME}-{options.edition}.pdf"
    shutil.copyfile(pdf, target)
    pages = re.search(r"Output written on .*? \((\d+) pages?", log)
    print(
        f"{target}: {pages[1] if pages else '?'} pages, {target.stat().st_size / 1e6:.1f} MB, "
        f"{time.perf_counter() - began:.0f} s, {time.perf_counter() - written:.0f} of them LaTeX's"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
