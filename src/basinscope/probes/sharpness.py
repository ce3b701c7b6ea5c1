"""Sharpness: the worst-case and the average rise of a network's loss within a ball."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Stored
from basinscope.landscape.given import stored_directions, tensors_of
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.progress import Watcher, watched
from basinscope.seeds import child_seed
from basinscope.settings import checks_settings


@dataclass(frozen=True)
class _Ball:
    """The ball ‖ε / T‖ ≤ ρ around the moved tensors, T = 1 or |w|."""

    center: Center
    rho: float
    adaptive: bool

    def scale(self, place: int) -> Tensor | float:
        """T on one tensor."""
        return self.center.exact(place).abs() if self.adaptive else 1.0

    def uphill(self, slopes: Sequence[Tensor]) -> list[Tensor]:
        """The point of the ball's surface that maximises a linear loss: ρ T² g / ‖T g‖."""
        length = self._norm([slope * self.scale(k) for k, slope in enumerate(slopes)])
        if not 0 < length < math.inf:
            return [torch.zeros_like(slope) for slope in slopes]
        return [slope * self.scale(k) ** 2 * (self.rho / length) for k, slope in enumerate(slopes)]

    def random(self, seed: int, number: int) -> list[Tensor]:
        """A random point of the surface: T g, g uniform on the sphere of radius ρ."""
        drawn = []
        for k, filters in enumerate(self.center.filters):
            stream = torch.Generator().manual_seed(child_seed(seed, "ball", number, k))
            drawn.append(filters.masked(torch.randn(filters.shape, generator=stream).to(self.center.exact(k))))
        length = self._norm(drawn)
        return [part * self.scale(k) * (self.rho / length) for k, part in enumerate(drawn)]

    def within(self, point: Sequence[Tensor]) -> list[Tensor]:
        """Project a point back into the ball."""
        parts = []
        for k, part in enumerate(point):
            scale = self.scale(k)
            # An adaptive ball has no extent along a weight of 0.
            parts.append(torch.where(scale > 0, part / scale, 0.0) if isinstance(scale, Tensor) else part)
        length = self._norm(parts)
        return [part * min(1.0, self.rho / length) if length > 0 else part for part in point]

    def _norm(self, parts: Sequence[Tensor]) -> float:
        return math.sqrt(sum(float(part.cpu().double().square().sum()) for part in parts))


@checks_settings
def sharpness(
    landscape: Landscape,
    *,
    rho: float = 0.05,
    adaptive: bool = False,
    num_restarts: int = 3,
    num_steps: int = 10,
    num_random: int = 20,
    seed: int = 0,
    vectors: bool = False,
    progress: Watcher = None,
) -> xr.Dataset:
    """Measure how much a network's loss rises within a ball around its weights.

    Formulas: worst case, max of L(θ + ε) − L(θ) over ‖ε / T‖ ≤ ρ, found by gradient ascent, so a lower bound; average
    case, the mean of the same over ε uniform on the ball's surface. T = 1, or |w| entry by entry if adaptive.

    Args:
        landscape: The loss, around the center.
        rho: Radius of the ball, in Euclidean length; adaptive, in multiples of the weights.
        adaptive: Whether each entry may move in proportion to its weight; the result then does not change when a layer
            is scaled up and the next one down.
        num_restarts: Number of ascents; the first starts along the gradient unless it is 0, the others at random.
        num_steps: Steps per ascent.
        num_random: Number of random points for the average case.
        seed: Seed of the random points.
        vectors: Whether to return the step to the worst point, too, as `worst_vector`.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `sharpness` dataset: the rise of every ascent and the largest, the mean over random points with its standard
        error.

    Raises:
        InputError: A setting is out of range, or the loss cannot be measured.

    References:
        Foret et al. 2021, arXiv 2010.01412 (worst case); Kwon et al. 2021, arXiv 2102.11600 (adaptive); Andriushchenko
        et al. 2023, arXiv 2302.07011 (average case).
    """
    landscape = require(landscape, "sharpness", "gradient_at")
    if not (rho > 0 and math.isfinite(rho)):
        raise InputError(f"sharpness: rho = {rho}: must be above 0")
    for name, value, least in (
        ("num_restarts", num_restarts, 1),
        ("num_steps", num_steps, 1),
        ("num_random", num_random, 0),
    ):
        if value < least:
            raise InputError(f"sharpness: {name} = {value}: must be at least {least}")
    base = landscape.center_loss
    ball = _Ball(landscape.center, rho, adaptive)
    # A step of ascent costs about three passes.
    total, done = 3.0 * num_restarts * (num_steps + 1) + num_random, 0.0
    worst, average = np.empty(num_restarts), np.empty(num_random)
    highest, step_to_worst = 0.0, [torch.zeros(f.shape) for f in landscape.filters] if vectors else []
    with landscape.held(), watched("sharpness", progress) as tell:
        for k in range(num_restarts):
            point = ball.uphill(landscape.gradient_at()[1]) if k == 0 else []
            if not any(bool(part.any()) for part in point):
                point = ball.random(seed, k)
            best = 0.0  # the network itself
            for step in range(num_steps + 1):
                loss, slopes = landscape.gradient_at((Stored(tuple(point), ""), 1.0))
                best = max(best, loss - base) if not math.isnan(loss) else math.nan
                if vectors and best > highest:
                    highest, step_to_worst = best, point
                done += 3
                tell(done / total)
                if step == num_steps or not math.isfinite(best):
                    break
                # A gradient step, projected into the ball: on a quadratic, a power iteration.
                uphill = ball.uphill(slopes)
                point = ball.within([p + u for p, u in zip(point, uphill, strict=True)])
            worst[k] = best
        for k in range(num_random):
            point = ball.random(seed, num_restarts + k)
            average[k] = landscape.loss_at((Stored(tuple(point), ""), 1.0)) - base
            done += 1
            tell(done / total)
    worst_step = Stored(tuple(step_to_worst), "")
    mean = float(average.mean()) if num_random else math.nan
    has_error = num_random > 1 and bool(np.isfinite(average).all())
    error = float(average.std(ddof=1) / math.sqrt(num_random)) if has_error else math.nan
    return labelled(
        "sharpness",
        landscape,
        {
            "restart": np.arange(num_restarts),
            "rise": worst,
            "worst": float(worst.max()),
            "average": mean,
            "average_stderr": error,
            "num_random": num_random,
            "rho": rho,
            "center_loss": base,
            **({"worst_vector": stored_directions(landscape, [worst_step])[0]} if vectors else {}),
        },
        units=dict.fromkeys(("rise", "worst", "average", "average_stderr", "center_loss"), landscape.unit)
        | {"rho": "multiples of the weights" if adaptive else "Euclidean length"},
        seed=str(seed),
        adaptive=int(adaptive),
        **({"tensors": tensors_of(landscape)} if vectors else {}),
    )
