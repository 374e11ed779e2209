"""Find what was handed in: a folder for each student, a file for each student, or the zip of an LMS.

Nothing is unpacked and no link is followed: files are read into memory, and a student's name never becomes
a path. What is no submission is listed with the reason, and stops nothing.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from coursekit.grading.submission import LARGEST

SUFFIXES = (".ipynb", ".py")
MOST_FILES = 20_000
# doejane_LATE_1234_56789_02_vae-1.ipynb: what Canvas makes of a file name; -1 is a second attempt.
_CANVAS = re.compile(r"^(?P<name>[^_/]+?)(?P<late>_LATE)?_(?P<id>\d+)_(?P<number>\d+)_(?P<file>[^/]+)$")
# Jane Doe_12345_assignsubmission_file_/02_vae.ipynb, or the file's name in place of the slash: Moodle.
_MOODLE = re.compile(r"^(?P<name>[^/]+)_(?P<id>\d+)_assignsubmission_file_?/?(?P<file>.*)$")
_ATTEMPT = re.compile(r"-(\d{1,3})(?=\.\w+$)")
_IGNORED = {".ipynb_checkpoints", "__pycache__", "__MACOSX", ".git"}


class NothingThere(Exception):
    """No submissions where they were looked for; the message says what was expected."""


@dataclass(frozen=True)
class Found:
    """One file of one student.

    Args:
        student: what tells students apart: the folder's or file's name, or the number that the LMS gave.
        name: to be shown.
        number: of the student in the LMS; "" where there is none.
        system: "canvas", "moodle" or "".
        place: where it lies, as shown in reports; below the folder or in the zip.
        file: its own name.
        attempt: 0 for the first.
        modified: when, in seconds since 1970.
        late: whether the LMS says so.
        read: its bytes; cut after `LARGEST + 1`.
    """

    student: str
    name: str
    number: str
    system: str
    place: str
    file: str
    attempt: int
    modified: float
    late: bool
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Left:
    """Something that was not graded: where it lies, and why."""

    place: str
    why: str


def collect(path: Path, slugs: Sequence[str] = ()) -> tuple[list[Found], list[Left]]:
    """All files that look like submissions, in the order of their places, and what was left out.

    Args:
        path: a folder, a zip, or one notebook.
        slugs: of the exercises; a file named after one of them alone has its student's name from its folder.

    Raises:
        NothingThere: the path is not there, or holds neither.
    """
    if not path.exists():
        raise NothingThere(
            f"there is no {path}: name a folder with submissions, a zip of an LMS, or one file"
        )
    left: list[Left] = []
    if path.is_dir():
        files = _in_folder(path, left)
    elif zipfile.is_zipfile(path):
        files = _in_zip(path, left)
    elif path.suffix.lower() in SUFFIXES:
        files = iter([(path.name, path.stat().st_mtime, _reader(path))])
    else:
        raise NothingThere(f"{path} is neither a folder nor a zip nor a notebook (.ipynb, .py)")
    found = []
    for place, modified, read in files:
        if PurePosixPath(place).suffix.lower() not in SUFFIXES:
            left.append(Left(place, "neither .ipynb nor .py"))
        else:
            found.append(_found(place, modified, read, slugs))
    return sorted(found, key=lambda f: f.place), left


def _in_folder(folder: Path, left: list[Left]) -> Iterator[tuple[str, float, Callable[[], bytes]]]:
    count = 0
    for top, folders, files in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if name not in _IGNORED)
        for name in [n for n in folders if (Path(top) / n).is_symlink()]:
            left.append(
                Left(
                    _shown(Path(top, name).relative_to(folder)), "a link to a folder; links are not followed"
                )
            )
        for name in sorted(files):
            path = Path(top, name)
            place = _shown(path.relative_to(folder))
            count += 1
            if count > MOST_FILES:
                left.append(Left(place, f"more than {MOST_FILES} files; the rest was not looked at"))
                return
            try:
                info = path.lstat()
            except OSError as error:
                left.append(Left(place, f"cannot be read: {error.strerror}"))
                continue
            if stat.S_ISLNK(info.st_mode):
                left.append(Left(place, "a link; links are not followed"))
            elif not stat.S_ISREG(info.st_mode):
                left.append(Left(place, "not an ordinary file"))
            elif name.startswith("."):
                left.append(Left(place, "a hidden file"))
            else:
                yield place, info.st_mtime, _reader(path)


def _reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        # O_NOFOLLOW: the file may have become a link since it was looked at.
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(LARGEST + 1)

    return read


def _in_zip(path: Path, left: list[Left]) -> Iterator[tuple[str, float, Callable[[], bytes]]]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    for i, entry in enumerate(sorted(entries, key=lambda e: e.filename)):
        place = _shown(PurePosixPath(entry.filename))
        parts = PurePosixPath(entry.filename).parts
        if entry.is_dir():
            continue
        if i >= MOST_FILES:
            left.append(Left(place, f"more than {MOST_FILES} files; the rest was not looked at"))
            return
        if _IGNORED & set(parts) or parts[-1].startswith("."):
            left.append(Left(place, "a hidden file"))
        elif stat.S_ISLNK(entry.external_attr >> 16):
            left.append(Left(place, "a link; links are not followed"))
        elif entry.flag_bits & 1:
            left.append(Left(place, "encrypted"))
        elif entry.file_size > LARGEST:
            left.append(Left(place, f"{entry.file_size / 2**20:.0f} MB; at most {LARGEST >> 20} are read"))
        else:
            yield place, _time(entry), _zip_reader(path, entry)


def _zip_reader(path: Path, entry: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        with zipfile.ZipFile(path) as archive, archive.open(entry) as file:
            return file.read(LARGEST + 1)  # the size that a zip states may be a lie

    return read


def _time(entry: zipfile.ZipInfo) -> float:
    from calendar import timegm

    try:
        return float(timegm((*entry.date_time, 0, 0, 0)))
    except (ValueError, OverflowError):
        return 0.0


def _shown(path: Path | PurePosixPath) -> str:
    """A place as text that can be printed and written: no control characters, no lone surrogates."""
    text = "/".join(path.parts).encode("utf-8", "replace").decode("utf-8")
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs", "Cf") else c for c in text)


def _found(place: str, modified: float, read: Callable[[], bytes], slugs: Sequence[str]) -> Found:
    parts = [part for part in place.split("/") if part not in ("", ".", "..")] or [place]
    file = parts[-1]
    attempt = int(m[1]) if (m := _ATTEMPT.search(file)) else 0
    for part in reversed(parts):
        if canvas := _CANVAS.match(part):
            return Found(
                canvas["id"], canvas["name"], canvas["id"], "canvas", place, file, attempt, modified,
                bool(canvas["late"]), read,
            )  # fmt: skip
        if moodle := _MOODLE.match(part):
            name = moodle["name"]
            return Found(
                moodle["id"], name, moodle["id"], "moodle", place, file, attempt, modified, False, read
            )
    student = parts[0] if len(parts) > 1 else _own_name(file, slugs)
    return Found(student, student, "", "", place, file, 0, modified, False, read)


def _own_name(file: str, slugs: Sequence[str]) -> str:
    """The student in `alice_02_vae.ipynb`, `02_vae-alice.ipynb` or `alice.ipynb`."""
    stem = PurePosixPath(file).stem
    for slug in sorted(slugs, key=len, reverse=True):
        if slug in stem:
            rest = stem.replace(slug, "", 1).strip(" _-.")
            return rest or stem
    return stem


def safe_name(student: str) -> str:
    """A file name of its own for any student, whatever their name is: letters, figures, and a digest."""
    plain = unicodedata.normalize("NFKD", student).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:40]
    return f"{plain or 'student'}-{sha256(student.encode('utf-8', 'surrogatepass')).hexdigest()[:10]}"
