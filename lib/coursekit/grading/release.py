"""`dgm-release`: the bundle that students get, proven to hold nothing of the solutions.

The bundle depends on the sources alone, byte for byte: entries in order, one date for all, no owner. It is
written only when the proof holds; `--check` proves a bundle that is there already.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import sys
import tomllib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat

from coursekit.authoring.generate import generate, slugs
from coursekit.authoring.leaks import leaks

STAMP = "RELEASE.json"
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
# What a student needs beside the exercises, to build the environment and to read.
SINGLE = ("LICENSE", "LICENSE-TEXT", "Makefile", "environment.yml", "pyproject.toml", "requirements.lock")
FOLDERS = {"chapters": (".ipynb", ".py", ".bib", ".toml", ".json"), "lib": (".py", ".typed", ".safetensors")}
SCRIPTS = ("environment.py", "lab.py")
FORBIDDEN_NAMES = ("hidden.py", "answers.py")


class Leak(Exception):
    """The bundle would hold something of the solutions; the message lists it."""


def bundle(root: Path, chosen: Sequence[str]) -> dict[str, bytes]:
    """Every file of the bundle: path -> content, with the stamp.

    Args:
        root: of the course.
        chosen: slugs of the exercises that are released.
    """
    solutions = root / "solutions"
    files = {name: (root / name).read_bytes() for name in SINGLE}
    for name in SCRIPTS:
        files[f"scripts/{name}"] = (root / "scripts" / name).read_bytes()
    for folder, suffixes in FOLDERS.items():
        for path in sorted((root / folder).rglob("*")):
            parts = path.relative_to(root).parts
            hidden = any(
                part.startswith((".", "__pycache__")) or part.endswith(".egg-info") for part in parts
            )
            if path.is_file() and path.suffix in suffixes and not hidden:
                files["/".join(parts)] = path.read_bytes()
    for slug in chosen:
        for name, text in generate(solutions, slug).items():
            files[f"exercises/{name}"] = text.encode()
    files["README.md"] = _readme(chosen).encode()
    files[STAMP] = _stamp(root, chosen, files).encode()
    return dict(sorted(files.items()))


def _readme(chosen: Sequence[str]) -> str:
    names = "\n".join(f"- `exercises/{slug}.ipynb`" for slug in chosen)
    return (
        "# Exercises of the course on deep generative models\n\n"
        "`make lab` builds the environment (Python 3.11 or later is all it needs) and opens JupyterLab.\n"
        "Open a notebook in `exercises/`; it checks your answers itself. Hand in the notebook, under its\n"
        f"own name. `RELEASE.json` says which version this is.\n\n{names}\n"
    )


def _stamp(root: Path, chosen: Sequence[str], files: Mapping[str, bytes]) -> str:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    whole = hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
    stamp = {
        "version": project["version"],
        "release": whole[:12],
        "exercises": list(chosen),
        "sha256": digests,
    }
    return json.dumps(stamp, indent=1) + "\n"


def prove(files: Mapping[str, bytes], solutions: Path) -> None:
    """Nothing of `solutions/` is in the files.

    No file is one of solutions/, none has the name of one that is kept back, no notebook of exercises/ has
    outputs, and no line of exercises/ is a line of a solution, of a discussion or of a hidden check.

    Raises:
        Leak: something is.
    """
    kept = {
        hashlib.sha256(path.read_bytes()).digest(): path for path in solutions.rglob("*") if path.is_file()
    }
    trouble, texts = [], []
    for name, data in files.items():
        if name.split("/")[0] == "solutions" or name.rsplit("/")[-1] in FORBIDDEN_NAMES:
            trouble.append(f"{name} is never shipped")
        if data and (source := kept.get(hashlib.sha256(data).digest())):
            trouble.append(f"{name} is solutions/{source.relative_to(solutions).as_posix()}")
        if not name.startswith("exercises/"):
            continue
        if name.endswith(".ipynb"):
            cells = nbformat.reads(data.decode(), as_version=4).cells
            texts += [cell.source for cell in cells]
            if any(cell.get("outputs") for cell in cells):
                trouble.append(f"{name} has outputs")
        else:
            texts.append(data.decode())
    trouble += [f"a line of a solution: {line}" for line in leaks(solutions, texts)]
    if trouble:
        raise Leak("; ".join(trouble[:20]))


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip of the files, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, data)
    return buffer.getvalue()


def unzipped(data: bytes) -> dict[str, bytes]:
    """The files of a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the bundle, or check one; 1 when it leaks or differs."""
    parser = argparse.ArgumentParser(prog="dgm-release", description=__doc__)
    parser.add_argument("slugs", nargs="*", help="exercises to release (default: all)")
    parser.add_argument("--out", type=Path, default=Path("dist/course.zip"), help="default: dist/course.zip")
    parser.add_argument("--check", action="store_true", help="prove the bundle that is there; write nothing")
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="folder of the course (default: this one)"
    )
    options = parser.parse_args(arguments)
    known = slugs(options.root / "solutions")
    if unknown := sorted(set(options.slugs) - set(known)):
        parser.error(f"no solutions/{unknown[0]}.py; there are {', '.join(known) or 'none'}")
    try:
        if options.check:
            files = unzipped(options.out.read_bytes())
        else:
            files = bundle(options.root, options.slugs or known)
        prove(files, options.root / "solutions")
    except (OSError, zipfile.BadZipFile) as error:
        print(f"dgm-release: {error}", file=sys.stderr)
        return 1
    except Leak as error:
        print(f"dgm-release: the bundle must not go out: {error}", file=sys.stderr)
        return 1
    if not options.check:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_bytes(zipped(files))
    stamp = json.loads(files[STAMP])
    print(f"{options.out}: release {stamp['release']}, {len(files)} files, nothing of solutions/ in them")
    return 0


if __name__ == "__main__":
    sys.exit(main())
