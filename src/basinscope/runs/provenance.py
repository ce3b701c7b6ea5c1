"""Under what circumstances a run was computed."""

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
    """Let `peak_memory_mib` begin anew, where the system (Linux) can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory_mib() -> float:
    """Largest resident memory of this process since `forget_peak_memory`, in MiB; NaN where the system does not tell.

    Systems other than Linux cannot forget: there it is the peak since the process began.
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
    """Turn a device's name into a device that is there.

    Args:
        name: `auto` takes a CUDA GPU where there is one, else the CPU; or any name that torch knows.

    Raises:
        InputError: torch does not know the name, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} is not there; use auto or cpu") from error
    return device
