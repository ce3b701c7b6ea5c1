"""What to say when memory runs out: which setting to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from basinscope.errors import InputError

_TOLD = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch tells of it, on a GPU and on the CPU."""


@contextmanager
def told_of_memory(doing: str, knob: str) -> Iterator[None]:
    """Turn torch's ways of running out of memory into one line that names the setting to lower.

    Args:
        doing: What was being done.
        knob: The setting.

    Raises:
        InputError: Memory ran out while the context was open.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        words = str(error).lower()
        if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(told in words for told in _TOLD):
            raise InputError(f"{doing}: out of memory; lower {knob}") from error
        raise
