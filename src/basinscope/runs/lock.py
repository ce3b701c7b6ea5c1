"""One process at a time: a lock that the system takes back when its holder dies."""

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
    """Hold a folder while the context is open; wait for whoever holds it now.

    The lock belongs to the process, not to the file that names it: a process that is killed leaves none behind. On
    a file system without locks, the folder is not guarded.

    Args:
        folder: What to hold; it is made if it is not there.
        waiting: Called once if another process holds the folder.
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
