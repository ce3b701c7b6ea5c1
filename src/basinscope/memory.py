"""Turns out-of-memory errors into messages that name the setting to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from basinscope.errors import InputError

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
"""Substrings of torch's out-of-memory messages, on GPU and CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    message = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(part in message for part in _OUT_OF_MEMORY)
    )


def release(device: torch.device) -> None:
    """Free the memory that torch caches on a device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def told_of_memory(doing: str, knob: str) -> Iterator[None]:
    """Turn out-of-memory errors into a one-line message that names the setting to lower.

    Args:
        doing: The operation, for the message.
        knob: The setting to lower.

    Raises:
        InputError: Memory ran out while the context was open.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise InputError(f"{doing}: out of memory; lower {knob}") from error
        raise
