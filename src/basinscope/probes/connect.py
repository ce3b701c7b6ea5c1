"""Curved low-loss path between two minima (mode connectivity), compared with the straight line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from basinscope.checkpoints.points import Minimum, moved_tensors, own_loss, refuse_same, towards
from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Stored
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.probes.linear_path import PATH_POINTS
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
    total, done = 3 * num_steps + 2 * resolution, 0
    with towards(landscape, recalibrate) as (needed, renewed), watched("connect", progress) as tell:
        center = landscape.center
        tensors = moved_tensors(landscape, other, "other", needed=needed)
        refuse_same(landscape, tensors, "connect")
        difference = _difference(center, tensors)
        length = math.sqrt(sum(float(part.cpu().double().square().sum()) for part in difference))
        control = [0.5 * part for part in difference]

        def advance(passes: int) -> None:
            nonlocal done
            done += passes
            tell(done / total)

        rate = learning_rate * length / math.sqrt(landscape.num_moved)
        _fit(landscape, difference, control, num_steps, rate, seed, advance)
        curved, straight = np.empty(resolution), np.empty(resolution)
        for k, t in enumerate(ts):
            curved[k] = landscape.loss_at((Stored(tuple(_on_curve(difference, control, float(t))), ""), 1.0))
            straight[k] = landscape.loss_at((Stored(tuple(difference), ""), float(t)))
            advance(2)
        other_loss = own_loss(landscape, other, float(straight[-1]), "other", needed=needed, renewed=renewed)
        for path in (curved, straight) if renewed else ():
            path[0], path[-1] = landscape.center_loss, other_loss
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
                "straight_barrier": float((straight - ends).max()),
                "distance": length,
                "num_steps": num_steps,
            },
            units=dict.fromkeys(("loss", "straight_loss", "other_loss", "barrier", "straight_barrier"), unit),
            seed=str(seed),
            recalibrated=int(renewed),
        )


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
