"""What the grader and its worker say to each other: a length, then so many bytes of JSON."""

from __future__ import annotations

import json
import os
import select
import struct
import time
from typing import Any

_LENGTH = struct.Struct("!I")
LARGEST = 64 << 20  # bytes of one frame: nothing that is meant comes near


class Broken(Exception):
    """The other side is gone, or says what is no frame."""


class Late(Broken):
    """The other side is silent for too long."""


def write_frame(fd: int, message: dict[str, Any]) -> None:
    """Write a whole frame to a pipe.

    Raises:
        Broken: nobody reads it.
    """
    body = json.dumps(message).encode()
    view = memoryview(_LENGTH.pack(len(body)) + body)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as error:
        raise Broken(f"could not write: {error.strerror}") from error


def read_frame(fd: int, seconds: float | None = None) -> dict[str, Any]:
    """Read a whole frame from a pipe.

    Args:
        fd: to read from.
        seconds: to wait for all of it; None: for ever.

    Raises:
        Late: it took longer than that.
        Broken: the pipe ended, or held no frame.
    """
    until = None if seconds is None else time.monotonic() + seconds
    (length,) = _LENGTH.unpack(_read(fd, _LENGTH.size, until))
    if length > LARGEST:
        raise Broken(f"a frame of {length} bytes")
    try:
        message = json.loads(_read(fd, length, until))
    except (ValueError, RecursionError) as error:
        raise Broken("a frame that is not JSON") from error
    if not isinstance(message, dict):
        raise Broken("a frame that is no table")
    return message


def _read(fd: int, length: int, until: float | None) -> bytes:
    parts: list[bytes] = []
    while length:
        left = None if until is None else until - time.monotonic()
        if left is not None and (left <= 0 or not select.select([fd], [], [], left)[0]):
            raise Late("no answer in time")
        part = os.read(fd, min(length, 1 << 20))
        if not part:
            raise Broken("the other side is gone")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
