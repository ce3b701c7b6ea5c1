"""Slices of a network's loss along lines and across planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor, nn

from basinscope.errors import InputError, choose
from basinscope.landscape.module_objective import Objective
from basinscope.landscape.steps import Combination, Direction, Orthogonal, cosine
from basinscope.measure.curvature import top_directions
from basinscope.measure.labels import labelled
from basinscope.measure.points import Minimum, moved_tensors, own_loss, recorded, spanned
from basinscope.probes.slices import symmetric_grid
from basinscope.progress import Watcher, watched

Points = Sequence[Minimum] | Mapping[str, Sequence[Minimum] | str | Path] | str | Path
"""A list of points, or the folder of a `Recorder`; or several of these by name."""
EXTENT, NEAR_EXTENT = 1.0, 0.1
"""Half the side of a slice along random directions, and along eigenvectors, in filter norms."""
BETWEEN = "share of the way"
MARGIN = 0.25
"""Room around marked points, as a share of their spread."""


def _refuse_coarse(name: str, resolution: int) -> None:
    if not isinstance(resolution, int | np.integer) or resolution < 2:
        raise InputError(f"{name}: resolution = {resolution}: must be a whole number of at least 2")


def _grid(name: str, extent: float | None, directions: str, resolution: int) -> Float[np.ndarray, " points"]:
    if extent is None:
        extent = NEAR_EXTENT if directions == "hessian" else EXTENT
    if not (extent > 0 and np.isfinite(extent)):
        raise InputError(f"{name}: extent = {extent}: must be above 0")
    return symmetric_grid(extent, resolution).numpy()


def slice1d(
    objective: Objective,
    *,
    seed: int = 0,
    num_directions: int = 3,
    directions: str = "random",
    extent: float | None = None,
    resolution: int = 41,
    progress: Watcher = None,
) -> xr.Dataset:
    """Evaluate the loss along straight lines through a network's weights.

    Args:
        objective: The network's loss.
        seed: Family of random directions, or start of the search for eigenvectors.
        num_directions: Lines.
        directions: `random`, or `hessian` for the eigenvectors of the largest curvature, scaled like random directions.
        extent: How far to go to either side; default 1 filter norm, 0.1 along eigenvectors.
        resolution: Points on each line; of an odd number the middle one is the network itself.
        progress: True or None shows a line with the time left, False none; a function gets the finished share.

    Returns:
        A `slice1d` dataset, loss by ray and distance. What is not a number, or infinite, is kept so.

    Raises:
        InputError: A setting is out of range, or the loss cannot be measured.

    References:
        Li et al. 2018, arXiv 1712.09913.
    """
    choose("directions", directions, ("random", "hessian"))
    if num_directions < 1:
        raise InputError(f"slice1d: num_directions = {num_directions}: must be at least 1")
    _refuse_coarse("slice1d", resolution)
    distances = _grid("slice1d", extent, directions, resolution)
    objective.check()
    lines: Sequence[Direction] = (
        [objective.direction(seed, index) for index in range(num_directions)]
        if directions == "random"
        else top_directions(objective, num_directions, seed=seed, progress=progress)
    )
    losses = np.empty((len(lines), resolution))
    with objective.held(), watched("slice1d", progress) as tell:
        for k, line in enumerate(lines):
            for j, distance in enumerate(distances):
                losses[k, j] = objective.loss_at((line, float(distance)))
                tell((k * resolution + j + 1) / losses.size)
    return labelled(
        "slice1d",
        objective,
        {"ray": np.arange(len(lines)), "distance": distances, "loss": losses},
        units={"distance": lines[0].units, "loss": objective.unit},
        seed=str(seed),
        scheme=objective.scheme,
        directions=directions,
    )


def slice2d(
    objective: Objective,
    *,
    directions: str = "random",
    points: Points = (),
    names: Sequence[str] | None = None,
    seed: int = 0,
    extent: float | None = None,
    resolution: int = 21,
    progress: Watcher = None,
) -> xr.Dataset:
    """Evaluate the loss on a rectangle of a plane through a network's weights.

    Args:
        objective: The network's loss.
        directions: What spans the plane: `random`, two orthogonal random directions; `hessian`, the two eigenvectors of
            the largest curvature; `between`, the ways to two other minima; `pca`, the two main axes of other
            points, such as checkpoints of a training run, as seen from the network.
        points: The other minima, or checkpoints, as state dictionaries, networks or files of safetensors, or the folder
            of a `Recorder`; for `between` and `pca`. Or several such lists by name, such as the paths of several
            optimizers, drawn each as a path.
        names: What the points of a list are called in figures; those of one name are drawn as a path.
        seed: Family of random directions, or start of the search for eigenvectors.
        extent: How far to go to every side; default 1 filter norm, 0.1 along eigenvectors. Planes through points
            reach a quarter beyond them, and take none.
        resolution: Grid lines along both directions.
        progress: True or None shows a line with the time left, False none; a function gets the finished share.

    Returns:
        A `plane` dataset: the loss, its first axis along the first direction, the cosine between the directions, and
        where the network and the points lie on the plane and how far off it.

    Raises:
        InputError: A setting is out of range, points do not fit the network, or the loss cannot be measured.

    References:
        Li et al. 2018, arXiv 1712.09913; Garipov et al. 2018, arXiv 1802.10026 (planes through three minima).
    """
    choose("directions", directions, ("random", "hessian", "between", "pca"))
    through = directions in ("between", "pca")
    if bool(points) != through:
        needed = "needs points" if through else "takes no points"
        raise InputError(f"slice2d: directions={directions!r} {needed}")
    if through and extent is not None:
        raise InputError(f"slice2d: directions={directions!r} reaches beyond the points by itself: leave extent out")
    labels, chosen = named_points("slice2d", points, names, "path" if directions == "pca" else None)
    given: list[list[Tensor]] = []
    _refuse_coarse("slice2d", resolution)
    objective.check()
    marks = np.zeros((1, 3))
    if through:
        given = [moved_tensors(objective, point, what) for what, point in chosen]
        plane: tuple[Direction, Direction]
        plane, placed = spanned(objective, given, directions)
        marks = np.concatenate([marks, placed])
        first, second = (_around(marks[:, axis], resolution) for axis in (0, 1))
    else:
        first = second = _grid("slice2d", extent, directions, resolution)
        if directions == "random":
            one, two = (objective.direction(seed, index) for index in (0, 1))
            plane = (one, Orthogonal(one, two))
        else:
            one, two = top_directions(objective, 2, seed=seed, progress=progress)
            plane = (one, two)
    losses = np.empty((resolution, resolution))
    with objective.held(), watched("slice2d", progress) as tell:
        for i, a in enumerate(first):
            for j, b in enumerate(second):
                losses[i, j] = objective.loss_at((plane[0], float(a)), (plane[1], float(b)))
                tell((i * resolution + j + 1) / losses.size)
        if through:
            # Of a path its end is looked at, where a minimum may be.
            for k in {label if directions == "pca" else place: place for place, label in enumerate(labels)}.values():
                what, point = chosen[k]
                way = Combination(objective.center, [given[k]], [1.0], plane[0].units)
                own_loss(objective, point, objective.loss_at((way, 1.0)), what)
    units = plane[0].units
    return labelled(
        "plane",
        objective,
        {
            "first": first,
            "second": second,
            "loss": losses,
            "cosine": cosine(objective.center, *plane),
            "marker": ["model", *labels],
            "marker_first": marks[:, 0],
            "marker_second": marks[:, 1],
            "marker_away": marks[:, 2],
        },
        units=dict.fromkeys(("first", "second", "marker_first", "marker_second", "marker_away"), units)
        | {"loss": objective.unit},
        seed=str(seed),
        scheme=objective.scheme,
        directions=directions,
    )


def named_points(
    verb: str, points: Any, names: Sequence[str] | None, path: str | None
) -> tuple[list[str], list[tuple[str, Minimum]]]:
    """The name of each point in figures, and each point with what to call it in a message.

    Args:
        verb: Who asks, for messages.
        points: A list of points, or lists by name.
        names: Names of a list's points.
        path: What all points of a list without names are called; None numbers them.

    Raises:
        InputError: There is one point where a list is needed, or another number of names.
    """
    if isinstance(points, str | Path):
        points = recorded(points)
    one = f"{verb}: points is one point: give a list of them, or lists by name"
    if isinstance(points, Mapping):
        if names is not None:
            raise InputError(f"{verb}: points by name have their names: leave names out")
        if any(isinstance(group, Tensor | nn.Module | Mapping) for group in points.values()):
            raise InputError(one)
        groups = {n: recorded(group) if isinstance(group, str | Path) else group for n, group in points.items()}
        labels = [name for name, group in groups.items() for _ in group]
        return labels, [(f"points[{n!r}][{k}]", point) for n, group in groups.items() for k, point in enumerate(group)]
    if isinstance(points, nn.Module):
        raise InputError(one)
    chosen: list[tuple[str, Minimum]] = [(f"points[{k}]", point) for k, point in enumerate(points)]
    if names is not None and len(names) != len(chosen):
        raise InputError(f"{verb}: {len(names)} names for {len(chosen)} points")
    if names is not None:
        return list(names), chosen
    return [path or f"point {k + 1}" for k in range(len(chosen))], chosen


def _around(values: np.ndarray, resolution: int) -> Float[np.ndarray, " points"]:
    """Grid lines from a quarter below the smallest value to a quarter above the largest."""
    low, high = float(values.min()), float(values.max())
    room = MARGIN * (high - low) or 1.0
    return np.linspace(low - room, high + room, resolution)


def linear_path(
    objective: Objective, other: Minimum, *, resolution: int = 25, beyond: float = 0.25, progress: Watcher = None
) -> xr.Dataset:
    """Evaluate the loss on the straight line from a network's weights to another minimum's, and beyond both.

    Running statistics and all that is not moved stay the network's own on the whole line; where the other minimum's own
    loss is therefore another, that is said.

    Args:
        objective: The network's loss.
        other: The other minimum: a state dictionary, a network, or a file of safetensors.
        resolution: Points on the line.
        beyond: How far to go beyond either end, as a share of the way between them.
        progress: True or None shows a line with the time left, False none; a function gets the finished share.

    Returns:
        A `slice1d` dataset of one ray; distance 0 is the network, 1 the other minimum, whose own loss is the attribute
        `other_loss`.

    Raises:
        InputError: A setting is out of range, the minimum does not fit the network, or the loss cannot be measured.

    References:
        Goodfellow, Vinyals and Saxe 2015, arXiv 1412.6544.
    """
    _refuse_coarse("linear_path", resolution)
    if not 0 <= beyond < np.inf:
        raise InputError(f"linear_path: beyond = {beyond}: must be at least 0")
    objective.check()
    way = Combination(objective.center, [moved_tensors(objective, other, "other")], [1.0], BETWEEN)
    distances = np.linspace(-beyond, 1 + beyond, resolution)
    losses = np.empty((1, resolution))
    with objective.held(), watched("linear_path", progress) as tell:
        for j, distance in enumerate(distances):
            losses[0, j] = objective.loss_at((way, float(distance)))
            tell((j + 1) / resolution)
        other_loss = own_loss(objective, other, objective.loss_at((way, 1.0)), "other")
    return labelled(
        "slice1d",
        objective,
        {"ray": torch.zeros(1, dtype=torch.int64), "distance": distances, "loss": losses},
        units={"distance": BETWEEN, "loss": objective.unit},
        scheme="between",
        directions="between",
        other_loss=other_loss,
    )
