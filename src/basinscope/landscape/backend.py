"""Chooses eager or compiled evaluation of small networks, whichever finishes the planned work first."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.stacked import Backend, PointObjective


@dataclass(frozen=True, kw_only=True)
class BackendChoice:
    """Outcome of the speed trial, stored with the run so that a resumed run uses the same backend."""

    backend: Backend
    reason: str
    eager_us: float | None = None
    """Microseconds per eager evaluation."""
    compiled_us: float | None = None
    """Microseconds per compiled evaluation."""
    compile_seconds: float | None = None


WORTH_COMPILING = 2.0
"""Compiling is not tried if the work takes less than this multiple of the compilation time eagerly."""
AGREEING = 1e-3
"""Largest accepted relative difference between eager and compiled losses."""
CLEARLY_FASTER = 0.75
"""`compiled` is chosen only below this share of the eager time; timing noise could reverse smaller gains, and so change
the last digits of a run."""


def choose_backend(
    make: Callable[[Backend], PointObjective],
    center: Float[Tensor, " params"],
    *,
    planned: int,
    reproducible: bool = False,
) -> BackendChoice:
    """Time the backends and choose the one that finishes `planned` evaluations first.

    Compiling is not tried if the eager work would take little longer than compiling.

    Args:
        make: Builds the landscape for a backend.
        center: Point around which the trial evaluates.
        planned: Number of evaluations planned.
        reproducible: Always use `eager`, so that results do not depend on a trial.

    Returns:
        The choice, with the measured times.
    """
    if reproducible:
        return BackendChoice(backend="eager", reason="eager requested")
    eager = make("eager")
    eager_us = 1e6 * _seconds_per_evaluation(eager, center)
    if planned * eager_us * 1e-6 < WORTH_COMPILING * eager.compiling_seconds:
        return BackendChoice(backend="eager", reason="the work is shorter than a compilation", eager_us=eager_us)
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    began = time.perf_counter()
    try:
        compiled = make("compiled")
        losses = _evaluate(compiled, center)
        compile_seconds = time.perf_counter() - began
        compiled_us = 1e6 * _seconds_per_evaluation(compiled, center)
    except Exception as error:  # no compiler, or any failure of it
        reason = f"compiling does not work here ({type(error).__name__})"
        return BackendChoice(backend="eager", reason=reason, eager_us=eager_us)
    if not torch.allclose(losses, _evaluate(eager, center), rtol=AGREEING, equal_nan=True):
        return BackendChoice(backend="eager", reason="compiled losses differ from eager ones", eager_us=eager_us)
    faster: Backend = "compiled" if compiled_us < CLEARLY_FASTER * eager_us else "eager"
    return BackendChoice(
        backend=faster,
        reason="measured",
        eager_us=eager_us,
        compiled_us=compiled_us,
        compile_seconds=compile_seconds,
    )


def _evaluate(objective: PointObjective, center: Tensor) -> Tensor:
    # Two sizes, so that the loss is also compiled for dynamic sizes.
    sizes = (objective.chunk_size, max(2, objective.chunk_size // 2))
    scales = [torch.linspace(0.5, 1.5, size).to(center) for size in sizes]
    return torch.cat([objective.at(scale.unsqueeze(1) * center) for scale in scales])


def _seconds_per_evaluation(objective: PointObjective, center: Tensor) -> float:
    """Median over short repeats, after a warm-up."""
    points = center.expand(8 * objective.chunk_size, -1).contiguous()
    objective.at(points)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        objective.at(points)
        seconds.append((time.perf_counter() - began) / len(points))
    assert math.isfinite(seconds[0])
    return sorted(seconds)[len(seconds) // 2]
