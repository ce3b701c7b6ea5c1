"""Restores the random states of Python, numpy and torch."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Iterator

import numpy as np
import torch


@contextlib.contextmanager
def undisturbed(devices: Iterable[torch.device] = ()) -> Iterator[None]:
    """Restore the random states of Python, numpy and torch, on the CPU and the given devices, on exit.

    Draws inside the context do not affect later ones, even if it exits by an exception.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    kinds = {device.type for device in devices}
    mps_state = torch.mps.get_rng_state() if "mps" in kinds else None
    cuda_devices = range(torch.cuda.device_count()) if "cuda" in kinds else ()
    try:
        with torch.random.fork_rng(devices=cuda_devices):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        if mps_state is not None:
            torch.mps.set_rng_state(mps_state)
