"""A curved way of low loss between two minima, beside the straight one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from basinscope.checkpoints.points import Minimum, moved_tensors, own_loss
from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Stored
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.progress import Watcher, watched
from basinscope.seeds import generator

BETAS, EPSILON = (0.9, 0.999), 1e-12


def connect(
    landscape: Landscape,
    other: Minimum,
    *,
    num_steps: int = 100,
    learning_rate: float = 0.05,
    resolution: int = 25,
    seed: int = 0,
    progress: Watcher = None,
) -> xr.Dataset:
    """Fit a curve of low loss from a network's weights to another minimum's, and evaluate the loss along it.

    Formula: θ(t) = (1 − t)² θ₀ + 2t(1 − t) φ + t² θ₁, a quadratic Bézier curve; its bend φ begins half-way and follows
    the gradient of E[L(θ(t))], t uniform in (0, 1), by Adam. All that is not moved, running statistics too, stays the
    network's own: where the minima differ in it, the loss at the far end is not the other minimum's own, which is said.

    Keeps four vectors as large as the moved tensors beside both networks.

    Args:
        landscape: The loss, around the center.
        other: The other minimum, a state dictionary or a network.
        num_steps: Updates of the bend; each takes a gradient over all batches. 0 leaves the curve straight.
        learning_rate: Highest step of Adam, which falls to 0 along a cosine, as a share of the root mean square
            distance between the minima's entries.
        resolution: Points on the curve.
        seed: Of the places t.
        progress: True or None shows a line with the time left, False none; a function gets the finished share.

    Returns:
        A `curve` dataset: the loss along the curve and along the straight line, and how much each rises at most above
        the line between the two minima's own losses.

    Raises:
        InputError: The other minimum does not fit or is the same, or a setting is out of range.

    References:
        Garipov et al. 2018, arXiv 1802.10026; Draxler et al. 2018, arXiv 1803.00885.
    """
    landscape = require(landscape, "connect", "gradient_at", "loss_of")
    for name, value, least in (("num_steps", num_steps, 0), ("resolution", resolution, 3)):
        if value < least:
            raise InputError(f"connect: {name} = {value}: must be at least {least}")
    if not (learning_rate > 0 and math.isfinite(learning_rate)):
        raise InputError(f"connect: learning_rate = {learning_rate}: must be above 0")
    center = landscape.center
    way = _way(center, moved_tensors(landscape, other, "other"))
    length = math.sqrt(sum(float(part.cpu().double().square().sum()) for part in way))
    if not length > 0:
        raise InputError("connect: the other minimum has the same moved weights: there is nothing to connect")
    places = np.linspace(0, 1, resolution)
    total, done = 3 * num_steps + 2 * resolution, 0
    bend = [0.5 * part for part in way]
    with landscape.held(), watched("connect", progress) as tell:

        def advance(passes: int) -> None:
            nonlocal done
            done += passes
            tell(done / total)

        _fit(landscape, way, bend, num_steps, learning_rate * length / math.sqrt(landscape.num_moved), seed, advance)
        curved, straight = np.empty(resolution), np.empty(resolution)
        for k, t in enumerate(places):
            curved[k] = landscape.loss_at((Stored(tuple(_on_curve(way, bend, float(t))), ""), 1.0))
            straight[k] = landscape.loss_at((Stored(tuple(way), ""), float(t)))
            advance(2)
        other_loss = own_loss(landscape, other, float(straight[-1]), "other")
    ends = straight[0] + places * (other_loss - straight[0])
    unit = landscape.unit
    return labelled(
        "curve",
        landscape,
        {
            "place": places,
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
    )


def _way(center: Center, other: Sequence[Tensor]) -> list[Tensor]:
    """From the network to the other minimum."""
    return [tensor.to(here) - here for tensor, here in zip(other, map(center.exact, range(len(other))), strict=True)]


def _on_curve(way: Sequence[Tensor], bend: Sequence[Tensor], t: float) -> list[Tensor]:
    """The point at place t, as seen from the network."""
    return [2 * t * (1 - t) * b + t * t * w for w, b in zip(way, bend, strict=True)]


@torch.no_grad()
def _fit(
    landscape: Landscape,
    way: Sequence[Tensor],
    bend: list[Tensor],
    num_steps: int,
    rate: float,
    seed: int,
    advance: Callable[[int], None],
) -> None:
    """Bend the curve by Adam, in place."""
    first, second = ([torch.zeros_like(part) for part in bend] for _ in range(2))
    stream = generator(seed, "connect")
    # A shuffled grid instead of free draws: every stretch of the curve is looked at alike.
    order = torch.randperm(max(1, num_steps), generator=stream)
    shift = torch.rand(max(1, num_steps), generator=stream)
    for step in range(num_steps):
        t = float(order[step] + shift[step]) / num_steps
        _, slopes = landscape.gradient_at((Stored(tuple(_on_curve(way, bend, t)), ""), 1.0))
        now = rate * 0.5 * (1 + math.cos(math.pi * step / num_steps))
        for b, m, v, g in zip(bend, first, second, slopes, strict=True):
            pull = 2 * t * (1 - t) * g.to(b)
            m.mul_(BETAS[0]).add_(pull, alpha=1 - BETAS[0])
            v.mul_(BETAS[1]).addcmul_(pull, pull, value=1 - BETAS[1])
            size = (v / (1 - BETAS[1] ** (step + 1))).sqrt_().add_(EPSILON)
            b.addcdiv_(m, size, value=-now / (1 - BETAS[0] ** (step + 1)))
        advance(3)
