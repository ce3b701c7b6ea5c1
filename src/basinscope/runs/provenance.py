"""Provenance of a run: versions, device and peak memory."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from basinscope._version import __version__
from basinscope.errors import InputError

PACKAGES = ("torch", "numpy", "scipy", "xarray", "h5netcdf", "safetensors", "matplotlib")


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, processor and device."""
    return {
        "basinscope": __version__,
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def forget_peak_memory() -> None:
    """Reset the counter of `peak_memory_mib`; Linux only."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mib() -> float:
    """Peak resident memory of this process since `forget_peak_memory`, in MiB; NaN if unknown.

    On systems other than Linux, the peak since the process started.
    """
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    try:
        import resource
    except ImportError:
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024**2)


def pick_device(name: str) -> torch.device:
    """Resolve the name of an available device.

    Args:
        name: `auto` for a CUDA GPU if there is one, else the CPU; or any torch device name.

    Raises:
        InputError: Torch does not know the name, or the device is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not available; use auto or cpu") from error
    return device
