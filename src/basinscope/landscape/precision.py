"""Chooses the precision of a streamed landscape: on a GPU, the fastest mode that agrees with float32."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import Precision, StreamedLoss

ACCURATE = 0.005
"""Largest accepted error of the log loss; the relative error of a radius is about a fifth of it."""
DISTANCES = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Distances at which losses are compared, in filter norms."""
FASTER = 0.9
"""Share of float32's time above which another mode is not worth its error."""
Way = tuple[Precision, bool]
"""A mode: precision, and whether forward passes are compiled."""
ON_GPU: tuple[Way, ...] = (("tf32", False), ("bfloat16", False), ("float32", True), ("tf32", True), ("bfloat16", True))


@dataclass(frozen=True, kw_only=True)
class PrecisionChoice:
    """Outcome of the trial, stored with a run so that all of it uses one mode."""

    precision: Precision = "float32"
    compiled: bool = False
    reason: str
    tried: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Seconds per pass and largest error of the log loss of each mode tried, or why it failed."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def _profile(landscape: StreamedLoss, ray: Ray) -> tuple[list[float], float]:
    """Losses at `DISTANCES`, and seconds per pass after a warm-up."""
    landscape.look_along(landscape.minimum, ray, 0.0)
    began = time.perf_counter()
    losses = [landscape.look_along(landscape.minimum, ray, distance).loss for distance in DISTANCES]
    return losses, (time.perf_counter() - began) / len(DISTANCES)


def choose_precision(
    make: Callable[[Precision, bool], StreamedLoss], ray: Ray, *, ways: Sequence[Way] = ON_GPU
) -> PrecisionChoice:
    """Time several modes along a ray and choose the fastest that agrees with float32.

    Args:
        make: Builds the landscape in a precision, compiled or not.
        ray: Ray along which losses are compared.
        ways: Modes to try besides plain float32.

    Returns:
        The choice, with seconds and error of every mode tried.
    """
    wanted, plain = _profile(make("float32", False), ray)
    tried: dict[str, dict[str, Any]] = {"float32": {"seconds": plain, "error": 0.0}}
    best: tuple[float, Way] = (FASTER * plain, ("float32", False))
    for precision, compiled in ways:
        name = f"{precision}{' compiled' * compiled}"
        try:
            losses, seconds = _profile(make(precision, compiled), ray)
        except Exception as error:  # any failure of the device or the compiler
            tried[name] = {"failed": type(error).__name__}
            continue
        error = max(abs(math.log(max(a, 1e-30) / max(b, 1e-30))) for a, b in zip(losses, wanted, strict=True))
        if math.isnan(error):
            tried[name] = {"failed": "losses are not finite"}
            continue
        tried[name] = {"seconds": seconds, "error": error}
        if error <= ACCURATE and seconds < best[0]:
            best = (seconds, (precision, compiled))
    precision, compiled = best[1]
    return PrecisionChoice(precision=precision, compiled=compiled, reason="measured", tried=tried)


def precision_for(
    device: torch.device, make: Callable[[Precision, bool], StreamedLoss], ray: Ray, *, reproducible: bool
) -> PrecisionChoice:
    """Choose the mode; plain float32 without a trial on a CPU, or if results must not depend on a trial."""
    if reproducible:
        return PrecisionChoice(reason="float32 requested")
    if device.type != "cuda":
        return PrecisionChoice(reason="only float32 is used on this device")
    return choose_precision(make, ray)
