"""Folder lock for one process at a time; the operating system releases it when the holder dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_NAME = ".lock"
_LOOK_SECONDS = 0.5


@contextmanager
def exclusive(folder: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Lock a folder while the context is open; wait while another process has locked it.

    The lock belongs to the process, not to the lock file: a killed process leaves no lock behind. File systems
    without locks leave the folder unprotected.

    Args:
        folder: Folder to lock; created if missing.
        waiting: Called once if another process has locked the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_NAME)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            waiting()
            while True:
                try:
                    lock.acquire(timeout=0)
                    break
                except Timeout:
                    time.sleep(_LOOK_SECONDS)
    except NotImplementedError:
        yield
        return
    try:
        yield
    finally:
        lock.release()
