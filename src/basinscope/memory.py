"""What to say when memory runs out: which setting to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from basinscope.errors import InputError

_TOLD = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch tells of it, on a GPU and on the CPU."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is one of torch's ways of running out of memory."""
    words = str(error).lower()
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(told in words for told in _TOLD)
    )


def release(device: torch.device) -> None:
    """Give back what torch keeps for later on a device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


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
        if is_out_of_memory(error):
            raise InputError(f"{doing}: out of memory; lower {knob}") from error
        raise
