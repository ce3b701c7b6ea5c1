"""Which arithmetic a streamed landscape can afford: tried out where a GPU offers faster ones than float32."""

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
"""Largest error of the logarithm of the loss. A radius moves by about a fifth of it, relatively."""
DISTANCES = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Where the loss is compared, in filter norms."""
FASTER = 0.9
"""Share of float32's time above which another arithmetic is not worth its error."""
Way = tuple[Precision, bool]
"""Precision, and whether forward passes are compiled."""
ON_GPU: tuple[Way, ...] = (("tf32", False), ("bfloat16", False), ("float32", True), ("tf32", True), ("bfloat16", True))


@dataclass(frozen=True, kw_only=True)
class PrecisionChoice:
    """The outcome of a trial, stored with a run so that all of it is computed alike."""

    precision: Precision = "float32"
    compiled: bool = False
    reason: str
    tried: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Seconds of a pass and largest error of log loss of each way that was tried, or why it failed."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a record."""
        return asdict(self)


def _profile(landscape: StreamedLoss, ray: Ray) -> tuple[list[float], float]:
    """Losses at a few distances, and seconds of a pass, warm."""
    landscape.look_along(landscape.minimum, ray, 0.0)
    began = time.perf_counter()
    losses = [landscape.look_along(landscape.minimum, ray, distance).loss for distance in DISTANCES]
    return losses, (time.perf_counter() - began) / len(DISTANCES)


def choose_precision(
    make: Callable[[Precision, bool], StreamedLoss], ray: Ray, *, ways: Sequence[Way] = ON_GPU
) -> PrecisionChoice:
    """Try ways of computing the loss along a ray, and take the fastest that agrees with float32.

    Args:
        make: Opens the landscape in a precision, compiled or not.
        ray: Where to compare.
        ways: What to try beside plain float32.

    Returns:
        The choice, with seconds and errors of all that was tried.
    """
    wanted, plain = _profile(make("float32", False), ray)
    tried: dict[str, dict[str, Any]] = {"float32": {"seconds": plain, "error": 0.0}}
    best: tuple[float, Way] = (FASTER * plain, ("float32", False))
    for precision, compiled in ways:
        name = f"{precision}{' compiled' * compiled}"
        try:
            losses, seconds = _profile(make(precision, compiled), ray)
        except Exception as error:  # every way in which a device or a compiler can refuse
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
    """Choose at once where there is nothing to try: on a CPU, or where results must not hang on a trial."""
    if reproducible:
        return PrecisionChoice(reason="float32 was asked for")
    if device.type != "cuda":
        return PrecisionChoice(reason="nothing else is tried on this device")
    return choose_precision(make, ray)
