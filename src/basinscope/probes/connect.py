"""Curved low-loss path between two minima (mode connectivity), compared with the straight line."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.checkpoints import alignment
from basinscope.checkpoints.points import Minimum, moved_tensors, own_loss, refuse_same, towards
from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Stored
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.probes.linear_path import PATH_POINTS
from basinscope.probes.straight import facts_of_alignment, lower
from basinscope.progress import Watcher, watched
from basinscope.seeds import generator
from basinscope.settings import checks_settings

BETAS, EPSILON = (0.9, 0.999), 1e-12


@checks_settings
def connect(
    landscape: Landscape,
    other: Minimum,
    *,
    num_steps: int = 100,
    learning_rate: float = 0.05,
    resolution: int = PATH_POINTS,
    recalibrate: Any = None,
    align: bool = False,
    seed: int = 0,
    progress: Watcher = None,
) -> xr.Dataset:
    """Fit a low-loss curve from a network's weights to another minimum's, and evaluate the loss along it.

    Formula: θ(t) = (1 − t)² θ₀ + 2t(1 − t) φ + t² θ₁, a quadratic Bézier curve. Its control point φ starts half-way and
    is trained by Adam on E[L(θ(t))], t uniform in (0, 1). All parameters are moved, biases and frozen ones included,
    and BatchNorm's running statistics are renewed at every point between. Both ends have their own losses.

    Memory: four vectors of the size of the moved tensors, besides both networks.

    Args:
        landscape: The loss, around the center.
        other: The other minimum, a state dictionary or a network.
        num_steps: Updates of the control point, one gradient over all batches each. 0 keeps the curve straight.
        learning_rate: Peak learning rate of Adam, decayed to 0 by a cosine, as a share of the root mean square
            difference between the minima's entries.
        resolution: Number of points on the curve.
        recalibrate: Batches from which BatchNorm's statistics are renewed, or True for the probed ones, False for none;
            default True if the network has such layers. Takes a second pass per evaluation.
        align: Whether to permute the other minimum's units first so that its weights are closest to the network's; see
            `bs.align`. Used unless the straight line without has a lower barrier, for which it is evaluated, too.
        seed: Seed of the random t.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `curve` dataset: the loss along the curve and along the straight line, and the barrier of each: its largest
        rise above the linear interpolation of the two minima's own losses.

    Raises:
        InputError: The other minimum does not fit or is identical, or a setting is out of range.

    References:
        Garipov et al. 2018, arXiv 1802.10026; Draxler et al. 2018, arXiv 1803.00885.
    """
    landscape = require(landscape, "connect", "gradient_at", "loss_of")
    for name, value, least in (("num_steps", num_steps, 0), ("resolution", resolution, 3)):
        if value < least:
            raise InputError(f"connect: {name} = {value}: must be at least {least}")
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise InputError(f"connect: learning_rate = {learning_rate}: must be above 0")
    ts = np.linspace(0, 1, resolution)
    reached = [
        other,
        *([alignment.align(landscape, other, progress=not callable(progress) and progress)] if align else []),
    ]
    total, done = 3 * num_steps + (1 + len(reached)) * resolution, 0
    with towards(landscape, recalibrate) as (needed, renewed), watched("connect", progress) as tell:
        center = landscape.center

        def advance(passes: int) -> None:
            nonlocal done
            done += passes
            tell(done / total)

        lines = []
        for k, point in enumerate(reached):
            tensors = moved_tensors(landscape, point, "other", needed=needed)
            if not k:
                refuse_same(landscape, tensors, "connect")
            lines.append(_line(landscape, point, _difference(center, tensors), ts, advance, needed, renewed=renewed))
        chosen = lower(lines, "connect") if align else lines[0]
        difference, straight, other_loss = chosen.difference, chosen.losses, chosen.other_loss
        length = math.sqrt(sum(float(part.cpu().double().square().sum()) for part in difference))
        control = [0.5 * part for part in difference]
        rate = learning_rate * length / math.sqrt(landscape.num_moved)
        _fit(landscape, difference, control, num_steps, rate, seed, advance)
        curved = np.empty(resolution)
        for k, t in enumerate(ts):
            curved[k] = landscape.loss_at((Stored(tuple(_on_curve(difference, control, float(t))), ""), 1.0))
            advance(1)
        if renewed:
            curved[0], curved[-1] = landscape.center_loss, other_loss
        ends = straight[0] + ts * (other_loss - straight[0])
        unit = landscape.unit
        return labelled(
            "curve",
            landscape,
            {
                "place": ts,
                "loss": curved,
                "straight_loss": straight,
                "other_loss": other_loss,
                "barrier": float((curved - ends).max()),
                "straight_barrier": chosen.barrier,
                "distance": length,
                "num_steps": num_steps,
            },
            units=dict.fromkeys(("loss", "straight_loss", "other_loss", "barrier", "straight_barrier"), unit),
            seed=str(seed),
            recalibrated=int(renewed),
            **(facts_of_alignment(lines, chosen) if align else {}),
        )


@dataclass(frozen=True)
class _Line:
    """The straight line to a minimum."""

    difference: list[Tensor]
    losses: Float[np.ndarray, " points"]
    other_loss: float
    barrier: float


def _line(
    landscape: Landscape,
    point: Minimum,
    difference: list[Tensor],
    ts: Float[np.ndarray, " points"],
    advance: Callable[[int], None],
    needed: Collection[str],
    *,
    renewed: bool,
) -> _Line:
    """Evaluate the straight line to a minimum."""
    losses = np.empty(len(ts))
    for k, t in enumerate(ts):
        losses[k] = landscape.loss_at((Stored(tuple(difference), ""), float(t)))
        advance(1)
    other_loss = own_loss(landscape, point, float(losses[-1]), "other", needed=needed, renewed=renewed)
    if renewed:
        losses[0], losses[-1] = landscape.center_loss, other_loss
    ends = losses[0] + ts * (other_loss - losses[0])
    return _Line(difference, losses, other_loss, float((losses - ends).max()))


def _difference(center: Center, other: Sequence[Tensor]) -> list[Tensor]:
    """Moved tensors of the other minimum minus those of the network."""
    return [tensor.to(here) - here for tensor, here in zip(other, map(center.exact, range(len(other))), strict=True)]


def _on_curve(difference: Sequence[Tensor], control: Sequence[Tensor], t: float) -> list[Tensor]:
    """The point of the curve at t, relative to the network."""
    return [2 * t * (1 - t) * c + t * t * d for d, c in zip(difference, control, strict=True)]


@torch.no_grad()
def _fit(
    landscape: Landscape,
    difference: Sequence[Tensor],
    control: list[Tensor],
    num_steps: int,
    rate: float,
    seed: int,
    advance: Callable[[int], None],
) -> None:
    """Fit the control point by Adam, in place."""
    first, second = ([torch.zeros_like(part) for part in control] for _ in range(2))
    stream = generator(seed, "connect")
    # A shuffled, shifted grid instead of independent draws, so that the whole curve is covered evenly.
    order = torch.randperm(max(1, num_steps), generator=stream)
    shift = torch.rand(max(1, num_steps), generator=stream)
    for step in range(num_steps):
        t = float(order[step] + shift[step]) / num_steps
        _, slopes = landscape.gradient_at((Stored(tuple(_on_curve(difference, control, t)), ""), 1.0))
        current_rate = rate * 0.5 * (1 + math.cos(math.pi * step / num_steps))
        for c, m, v, g in zip(control, first, second, slopes, strict=True):
            slope = 2 * t * (1 - t) * g.to(c)
            m.mul_(BETAS[0]).add_(slope, alpha=1 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
            size = (v / (1 - BETAS[1] ** (step + 1))).sqrt_().add_(EPSILON)
            c.addcdiv_(m, size, value=-current_rate / (1 - BETAS[0] ** (step + 1)))
        advance(3)
