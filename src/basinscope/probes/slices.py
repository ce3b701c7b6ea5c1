"""Slices of the loss: along lines and across planes through a center."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.checkpoints.points import Points, moved_tensors, named_points, own_loss, spanned, towards
from basinscope.errors import InputError
from basinscope.landscape.directions import Combination, Direction
from basinscope.landscape.given import Given, given_directions, stored_directions, tensors_of, unit_of
from basinscope.landscape.protocol import Landscape, products_of, renewing, require
from basinscope.probes.curvature import top_directions
from basinscope.probes.grid import around, plane_coordinates, refuse_coarse
from basinscope.probes.labels import labelled
from basinscope.probes.scoring import Scored, in_blocks
from basinscope.progress import Watcher, watched
from basinscope.settings import checks_settings

_PARALLEL = 1 - 1e-9
"""Cosine above which two directions span no plane."""


@checks_settings
def slice1d(
    landscape: Landscape,
    *,
    seed: int = 0,
    num_directions: int = 3,
    indices: Sequence[int] | None = None,
    directions: Literal["random", "hessian"] | Sequence[Given] = "random",
    extent: float | None = None,
    resolution: int = 41,
    distances: Float[Tensor, " distances"] | None = None,
    recalibrate: Any = None,
    progress: Watcher = None,
) -> xr.Dataset:
    """Evaluate the loss along straight lines through a center.

    Args:
        landscape: The loss, around the center.
        seed: Seed of the family of random directions, or of the eigenvector search.
        num_directions: Number of lines.
        indices: Members of the family of random directions, instead of the first `num_directions`.
        directions: `random`; `hessian` for the eigenvectors of the largest curvature, scaled like random directions;
            or a list of your own, each a mapping from parameter names to displacements, one tensor for each moved one,
            or a flat vector of the moved entries. Distance 1 adds your direction itself to the weights.
        extent: Largest distance to either side; default 1, along eigenvectors 0.1.
        resolution: Points per line; if odd, the middle one is the center itself.
        distances: Distances along the lines, instead of `resolution` points up to `extent`.
        recalibrate: True renews BatchNorm's running statistics at every point, from the probed batches, at the cost of
            a second pass; or other batches to compute them from. Default: the network's own.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `slice1d` dataset, loss by ray and distance; NaN and infinite losses are kept. With metrics or several data
        sets also `values`, by data set, metric, ray and distance; `loss` is the first of these.

    Raises:
        InputError: A setting is out of range, or the loss cannot be measured.

    References:
        Li et al. 2018, arXiv 1712.09913.
    """
    landscape = require(landscape, "slice1d", "along")
    kind = directions if isinstance(directions, str) else "given"
    if kind == "given" and indices is not None:
        raise InputError("slice1d: indices are members of the random directions: omit them with your own directions")
    if distances is None:
        refuse_coarse("slice1d", resolution)
        line_distances = plane_coordinates("slice1d", extent, kind, resolution)
    else:
        line_distances = np.asarray(distances, dtype=np.float64)
    chosen = list(range(num_directions) if indices is None else indices)
    if not chosen:
        few = f"num_directions = {num_directions}: must be at least 1"
        raise InputError(f"slice1d: {few if indices is None else 'indices is empty: give at least one'}")
    with (
        landscape.held(),
        renewing(landscape, False if recalibrate is None else recalibrate),
        watched("slice1d", progress) as tell,
    ):
        lines: Sequence[Direction]
        if kind == "given":
            lines = given_directions(landscape, directions, "slice1d")
            chosen = list(range(len(lines)))
        elif kind == "random":
            lines = landscape.random_directions(seed, chosen)
        else:
            lines = top_directions(landscape, len(chosen), seed=seed, progress=progress)
        scored, num = Scored(landscape), len(line_distances)
        parts = []
        for k in range(len(lines)):
            rows = np.full(num, k)

            def evaluate(here: slice, rows: np.ndarray = rows) -> np.ndarray:
                return scored.along(lines, line_distances[here], rows[here])

            def report(share: float, k: int = k) -> None:
                tell((k + share) / len(lines))

            parts.append(in_blocks(landscape, num, evaluate, report, planned=num * len(lines)))
    values = np.stack(parts, axis=2)
    return labelled(
        "slice1d",
        landscape,
        {"ray": np.asarray(chosen), "distance": line_distances, "loss": values[0, 0], **scored.variables(values)},
        units={"distance": unit_of(lines), "loss": landscape.unit},
        seed=str(seed),
        scheme=landscape.scheme,
        directions=kind,
        **_of_hessian(landscape, kind),
    )


@checks_settings
def slice2d(
    landscape: Landscape,
    *,
    directions: Literal["random", "hessian", "between", "pca"] | Sequence[Given] = "random",
    points: Points = (),
    names: Sequence[str] | None = None,
    seed: int = 0,
    indices: tuple[int, int] = (0, 1),
    extent: float | None = None,
    resolution: int = 21,
    distances: Float[Tensor, " distances"] | None = None,
    recalibrate: Any = None,
    vectors: bool = False,
    progress: Watcher = None,
) -> xr.Dataset:
    """Evaluate the loss on a rectangle of a plane through a center.

    Args:
        landscape: The loss, around the center.
        directions: What spans the plane: `random`, two orthogonal random directions; `hessian`, the two eigenvectors of
            the largest curvature; `between`, the differences to two other minima; `pca`, the first two principal
            axes of other points, such as checkpoints of a training run, relative to the center. Or two directions of
            your own, as in `slice1d`, drawn at a right angle whatever the angle between them; see `cosine`.
        points: The other minima, or checkpoints, as state dictionaries, networks or safetensors files, or the folder of
            a `Recorder`; for `between` and `pca`. Or several such lists by name, such as the paths of several
            optimizers, each drawn as a path.
        names: Labels of a list's points in figures; points with the same label are drawn as a path.
        seed: Seed of the family of random directions, or of the eigenvector search.
        indices: The two members of the family of random directions; the second is made orthogonal to the first.
        extent: Largest distance to every side; default 1 filter norm, 0.1 along eigenvectors. Planes through points
            extend a quarter beyond them and take no extent.
        resolution: Number of grid lines along each direction.
        distances: Grid lines along each direction, instead of `resolution` lines up to `extent`.
        recalibrate: True renews BatchNorm's running statistics at every point, from the probed batches, at the cost of
            a second pass; or other batches to compute them from. Default: through points True if the network has
            such layers, else False.
        vectors: Whether to return the two directions, too, as `axis_vector`.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `slice2d` dataset: the loss, its first axis along the first direction, the cosine between the directions, and
        the positions of the center and the points on the plane and their distance from it. With metrics or several data
        sets also `values`, by data set, metric and grid point; `loss` is the first of these.

    Raises:
        InputError: A setting is out of range, points do not fit the network, or the loss cannot be measured.

    References:
        Li et al. 2018, arXiv 1712.09913; Garipov et al. 2018, arXiv 1802.10026 (planes through three minima).
    """
    landscape = require(landscape, "slice2d", "across")
    kind = directions if isinstance(directions, str) else "given"
    through = kind in ("between", "pca")
    if bool(points) != through:
        if kind == "given":
            raise InputError("slice2d: your own directions take no points")
        needed = "needs points" if through else "takes no points"
        raise InputError(f"slice2d: directions={kind!r} {needed}")
    if through and not (extent is None and distances is None):
        raise InputError(f"slice2d: directions={kind!r} sets its own extent: leave out extent and distances")
    if kind == "random" and indices[0] == indices[1]:
        raise InputError(f"slice2d: indices = {indices}: give two different members, which span a plane")
    labels, chosen = named_points("slice2d", points, names, "path" if kind == "pca" else None)
    if distances is None:
        refuse_coarse("slice2d", resolution)
    with (
        towards(landscape, recalibrate) if through else _around_center(landscape, recalibrate) as (needed, renewed),
        watched("slice2d", progress) as tell,
    ):
        marks = np.zeros((1, 3))
        tensors = [moved_tensors(landscape, point, what, needed=needed) for what, point in chosen]
        plane: tuple[Direction, Direction]
        if through:
            plane, placed = spanned(landscape, tensors, kind)
            marks = np.concatenate([marks, placed])
            first, second = (around(marks[:, axis], resolution) for axis in (0, 1))
        else:
            plane = _axes(landscape, directions, seed, indices, progress)
            first = second = (
                plane_coordinates("slice2d", extent, kind, resolution)
                if distances is None
                else np.asarray(distances, dtype=np.float64)
            )
        scored = Scored(landscape)
        values = _on_grid(landscape, scored, plane, first, second, tell)
        if through:
            # Of a path only the end is compared, which may be a minimum.
            ends = {label if kind == "pca" else k: k for k, label in enumerate(labels)}.values()
            for what, point, tensor in ((*chosen[k], tensors[k]) for k in ends):
                loss = landscape.loss_at((Combination(landscape.center, [tensor], [1.0], plane[0].units), 1.0))
                own_loss(landscape, point, loss, what, needed=needed, renewed=renewed)
        cosine = landscape.cosine(*plane)
        axes = {"axis_vector": stored_directions(landscape, plane)} if vectors else {}
        units = unit_of(plane)
        return labelled(
            "slice2d",
            landscape,
            {
                "first": first,
                "second": second,
                "loss": values[0, 0],
                "cosine": cosine,
                "marker": ["model", *labels],
                "marker_first": marks[:, 0],
                "marker_second": marks[:, 1],
                "marker_away": marks[:, 2],
                **scored.variables(values),
                **axes,
            },
            units=dict.fromkeys(("first", "second", "marker_first", "marker_second", "marker_away"), units)
            | {"loss": landscape.unit},
            seed=str(seed),
            scheme=landscape.scheme,
            directions=kind,
            recalibrated=int(renewed),
            **({"tensors": tensors_of(landscape)} if vectors else {}),
            **_of_hessian(landscape, kind),
        )


def _of_hessian(landscape: Landscape, directions: str) -> dict[str, str]:
    """How the Hessian was multiplied, for results along its eigenvectors."""
    return {"products": products_of(landscape)} if directions == "hessian" else {}


@contextlib.contextmanager
def _around_center(landscape: Landscape, recalibrate: Any) -> Iterator[tuple[None, bool]]:
    """Like `towards`, for planes through no other point: only the landscape's own tensors are moved."""
    with landscape.held(), renewing(landscape, False if recalibrate is None else recalibrate) as renewed:
        yield None, renewed


def _axes(
    landscape: Landscape,
    directions: str | Sequence[Given],
    seed: int,
    indices: tuple[int, int],
    progress: Watcher,
) -> tuple[Direction, Direction]:
    """Two directions of a plane through no other point; orthogonal unless they are the user's own.

    Raises:
        InputError: The user's own directions are parallel, or not two.
    """
    if not isinstance(directions, str):
        one, two = given_directions(landscape, directions, "slice2d", num=2)
        if abs(landscape.cosine(one, two)) > _PARALLEL:
            raise InputError("slice2d: the two directions are parallel; they span no plane")
        return one, two
    if directions == "random":
        return landscape.orthogonal(seed, indices)
    one, two = top_directions(landscape, 2, seed=seed, progress=progress)
    return one, two


def _on_grid(
    landscape: Landscape,
    scored: Scored,
    plane: tuple[Direction, Direction],
    first: Float[np.ndarray, " first"],
    second: Float[np.ndarray, " second"],
    tell: Callable[[float], None],
) -> Float[np.ndarray, "sets metrics first second"]:
    """Scores at every point of a grid, the first axis along the first direction."""
    a, b = (axis.ravel() for axis in np.meshgrid(first, second, indexing="ij"))
    values = in_blocks(
        landscape, len(a), lambda here: scored.across(*plane, a[here], b[here]), tell, multiple=len(second)
    )
    return values.reshape(*values.shape[:2], len(first), len(second))
