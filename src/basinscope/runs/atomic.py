"""Atomic file writes: a file is complete or absent."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PREFIX = ".partial-"
_ROOM = 2**16
"""Bytes written to test whether the disk is full."""


def write(path: Path, produce: Callable[[Path], object]) -> None:
    """Let `produce` write a temporary file beside `path`, flush it to disk, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keep the suffix: writers choose their format by it.
    handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    partial.unlink()  # only the name is needed: some writers append to an existing file
    try:
        try:
            produce(partial)
        except Exception as error:
            # Writers report a full disk in different ways; raise the system's error instead.
            _check_room(path)
            raise error
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        # Temporary files are private; results get the permissions that the umask allows.
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _check_room(path: Path) -> None:
    """Check that the disk has room, by writing a small temporary file beside `path`.

    Raises:
        OSError: The write failed.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(b"\0" * _ROOM)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def sweep(folder: Path) -> None:
    """Delete partial files of killed processes; call only while holding the folder's lock."""
    for partial in folder.rglob(f"{_PREFIX}*"):
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; NaN raises a `ValueError`."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Checksum of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
