"""Files that are there whole or not at all."""

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
"""Bytes that a disk that is not full takes."""


def write(path: Path, produce: Callable[[Path], object]) -> None:
    """Let `produce` write a temporary file beside `path`, flush it to disk, then rename it into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix is kept, because writers choose their format by it.
    handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    partial = Path(name)
    partial.unlink()  # only the name is wanted: some writers open an existing file to add to it
    try:
        try:
            produce(partial)
        except Exception as error:
            # Writers tell of a full disk each in its own way; here it is told in the system's.
            _try_room(path)
            raise error
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        # Temporary files are born private; results are as readable as the umask lets new files be.
        partial.chmod(0o666 & ~_umask())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _try_room(path: Path) -> None:
    """Write a little beside `path`, to see whether the disk takes it.

    Raises:
        OSError: It does not.
    """
    try:
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(b"\0" * _ROOM)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def sweep(folder: Path) -> None:
    """Remove what killed processes left half-written; only for whoever holds the folder."""
    for partial in folder.rglob(f"{_PREFIX}*"):
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Checksum of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
