"""Restores the random states of Python, numpy and torch."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator

import numpy as np
import torch


@contextlib.contextmanager
def undisturbed(devices: Iterable[torch.device] = ()) -> Iterator[None]:
    """Keep the random states of Python, numpy and torch, on the CPU and on some devices, as they are.

    Whatever is drawn while the context is open, and however it is left, the next draw is the one that would have come.
    """
    before, legacy = random.getstate(), np.random.get_state()
    kinds = {device.type for device in devices}
    apple = torch.mps.get_rng_state() if "mps" in kinds else None
    numbers = range(torch.cuda.device_count()) if "cuda" in kinds else ()
    try:
        with torch.random.fork_rng(devices=numbers):
            yield
    finally:
        random.setstate(before)
        np.random.set_state(legacy)
        if apple is not None:
            torch.mps.set_rng_state(apple)
