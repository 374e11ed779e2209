"""Build the book: `python book/build.py` (or `make book`), a site in book/_build/student/html.

It assembles a source tree from the repository and runs Sphinx on it. Sphinx wants all its sources under one
folder, and an edition holds only some of the repository's notebooks. A file of the tree is written only when
it has changed, so that Sphinx's own incremental builds go on working.

What goes into the tree:

- `book/pages/**` as it is (in index.md the marks `<!-- route -->` and `<!-- chapters -->` are filled in);
- what `pages(root, edition)` of every module in `book/generators/` returns: `{path in the tree: text}`;
- `chapters/*.ipynb` with their stored outputs, and `exercises/*.ipynb`. The instructor's edition has the
  solutions in their place, at the same addresses, so that every link holds in both editions. Links to works
  become citations (`citations.py`), and widgets, of which there are none, would stand still (`widgets.py`).

Nothing is executed, nothing is fetched.
"""

import argparse
import functools
import http.server
import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parent
sys.path[:0] = [str(BOOK), str(ROOT / "lib")]

import start  # noqa: E402
from citations import cited  # noqa: E402
from course import CHAPTERS  # noqa: E402
from widgets import still  # noqa: E402

EDITIONS = ("student", "instructor")


def sources(edition: str) -> dict[str, bytes]:
    """Every file of the source tree of an edition: path -> content."""
    held = {name: still(content) for name, content in notebooks(edition).items()}
    return pages() | generated(edition) | held


def pages() -> dict[str, bytes]:
    """The pages that are written by hand, and the start page's picture."""
    tree = {
        path.relative_to(BOOK / "pages").as_posix(): path.read_bytes()
        for path in sorted((BOOK / "pages").rglob("*"))
        if path.is_file()
    }
    tree["index.md"] = start.fill(tree["index.md"].decode()).encode()
    tree["figures/readme.png"] = (ROOT / "docs" / "figures" / "readme.png").read_bytes()
    return tree


def generated(edition: str) -> dict[str, bytes]:
    """What the generators make."""
    tree: dict[str, bytes] = {}
    for path in sorted((BOOK / "generators").glob("[!_]*.py")):
        made = importlib.import_module(f"generators.{path.stem}").pages(ROOT, edition)
        tree |= {name: text.encode() for name, text in made.items()}
    return tree


def notebooks(edition: str) -> dict[str, bytes]:
    """The chapters, and the exercises with or without their solutions."""
    exercises = "exercises" if edition == "student" else "solutions"
    tree: dict[str, bytes] = {}
    for slug in (chapter.slug for chapter in CHAPTERS):
        for page, folder in (("chapters", "chapters"), ("exercises", exercises)):
            tree[f"{page}/{slug}.ipynb"] = cited((ROOT / folder / f"{slug}.ipynb").read_bytes(), ROOT)
    return tree


def assemble(tree: dict[str, bytes], target: Path) -> None:
    """Write a source tree; files that have not changed keep their time, files that are gone go."""
    for path in sorted(target.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(target).as_posix() not in tree:
            path.unlink()
    for name, content in tree.items():
        path = target / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def build(
    builder: str,
    edition: str,
    out: Path,
    *,
    tree: dict[str, bytes] | None = None,
    strict: bool = True,
    further: Sequence[str] = (),
) -> Path:
    """Assemble and run Sphinx.

    Args:
        builder: Sphinx's name of it, such as html or latex; conf.py sees it as the tag of the same name.
        edition: student or instructor; conf.py sees it as a tag.
        out: folder of all that is built for this edition.
        tree: the sources, if not `sources(edition)`.
        strict: whether a warning is an error.
        further: arguments for Sphinx.

    Returns:
        The folder of the result.

    Raises:
        subprocess.CalledProcessError: Sphinx failed.
    """
    source, target = out / "source", out / builder
    assemble(sources(edition) if tree is None else tree, source)
    command = [sys.executable, "-m", "sphinx", "-b", builder, "-c", str(BOOK), "-d", str(out / "doctrees")]
    # One process: sphinx-proof cannot read in parallel.
    command += ["-t", edition, "--keep-going"]
    command += ["-W"] if strict else []
    subprocess.run([*command, *further, str(source), str(target)], check=True, cwd=ROOT)
    return target


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing about the pages that it hands out."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing; what fails is still said."""


def serve(folder: Path, port: int) -> int:
    """Serve a built site on this machine's loopback address alone, until Ctrl-C."""
    try:
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", port), functools.partial(Quiet, directory=str(folder))
        )
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        print(
            f"Port {port} of 127.0.0.1 cannot be used ({why}): name another, as in --port 8001; "
            "--port 0 takes any free one.",
            file=sys.stderr,
        )
        return 1
    with server:
        print(f"The book is at http://127.0.0.1:{server.server_port}/ until you press Ctrl-C.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="book/build.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--edition", choices=EDITIONS, default="student", help="whose (default: student)")
    parser.add_argument(
        "--builder", default="html", help="html, or another of Sphinx's builders (default: html)"
    )
    parser.add_argument("--out", type=Path, help="build folder (default: book/_build/<edition>)")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier builds left")
    parser.add_argument("--lenient", action="store_true", help="let warnings pass")
    parser.add_argument("--serve", action="store_true", help="then serve the site on 127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="for --serve (default: 8000; 0: any free one)")
    options, further = parser.parse_known_args(arguments)
    out = (options.out or BOOK / "_build" / options.edition).resolve()
    if options.fresh and out.is_dir():
        shutil.rmtree(out)
    began = time.perf_counter()
    try:
        target = build(options.builder, options.edition, out, strict=not options.lenient, further=further)
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    print(f"{options.edition} edition, {options.builder}: {target} ({time.perf_counter() - began:.0f} s)")
    return serve(target, options.port) if options.serve else 0


if __name__ == "__main__":
    sys.exit(main())
