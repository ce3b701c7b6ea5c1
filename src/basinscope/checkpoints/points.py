"""Other points in a network's parameter space: minima and checkpoints, as state dictionaries or files."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basinscope.checkpoints.files import read_state
from basinscope.errors import InputError, kind_of
from basinscope.landscape.directions import Center, Combination
from basinscope.landscape.filters import as_real
from basinscope.landscape.names import Names, fitted, is_statistic
from basinscope.landscape.protocol import Landscape, moving_all, needed_of_others, renewing

Minimum = Mapping[str, Any] | Tensor | nn.Module | str | Path
"""A state dictionary, a network of the same kind, or a file of either: safetensors, or what `torch.save` wrote.

For losses of flat vectors, also a flat vector."""
Points = Sequence[Minimum] | Mapping[str, Sequence[Minimum] | str | Path] | str | Path
"""A list of points, or the folder of a `Recorder`; or several of these by name."""
_SAME_LOSS = 1e-3
"""Relative difference of losses below which no warning is logged."""
_log = logging.getLogger(__name__)
_ON_LINE = 1e-5
"""Distance from a line, relative to its length, that rounding of weights may explain."""


def state_of(
    landscape: Landscape, point: Minimum, what: str, *, needed: Collection[str] | None = None
) -> Mapping[str, Tensor]:
    """The tensors of a point under the network's names, read from its file if it is one.

    Args:
        landscape: The landscape.
        point: The point; wrappers such as `DataParallel` may have changed its names, see `landscape.names`.
        what: Its name in messages.
        needed: Names that it must contain; None needs all moved tensors.

    Raises:
        InputError: There is no such file, it contains no weights, or they do not fit the network.
    """
    if isinstance(point, Tensor):
        named = getattr(landscape, "named", None)
        if named is None:
            raise InputError(f"{what} is a tensor: give a state dictionary, a network or a file")
        return named(point, what)
    if isinstance(point, str | Path):
        try:
            point = read_state(Path(point))
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
    state = point.state_dict() if isinstance(point, nn.Module) else point
    if not isinstance(state, Mapping):
        raise InputError(f"{what} is {kind_of(state)}: give a state dictionary, a network or a file")
    moved = [f.name for f in landscape.filters]
    required = moved if needed is None else [name for name in moved if name in needed]
    effective = getattr(landscape, "effective", None)
    if effective is not None:
        return effective(state, what=what, required=required)
    own = {name: tensor for tensors in landscape.named_tensors() for name, tensor in tensors.items()}
    return fitted(state, Names(own), required=required, what=what, network=landscape.network)


COPIES = "step-*.safetensors"
"""Pattern of the file names that a `Recorder` writes."""


def recorded(folder: str | Path) -> list[Path]:
    """The copies that a `Recorder` wrote into a folder, in order.

    Raises:
        InputError: There are none.
    """
    copies = sorted(Path(folder).glob(COPIES))
    if not copies:
        raise InputError(f"points: {folder} contains no copies of a Recorder (step-….safetensors)")
    return copies


def moved_tensors(
    landscape: Landscape, point: Minimum, what: str, *, needed: Collection[str] | None = None
) -> list[Tensor]:
    """Pick the moved tensors out of a state dictionary, complex ones as real numbers.

    Args:
        landscape: The landscape.
        point: The other point.
        what: Its name in messages.
        needed: Names that it must contain; other missing ones are those of the center. None needs all of them.

    Raises:
        InputError: Some are missing or have another shape (the message names the first three), or are not finite.
    """
    state = state_of(landscape, point, what, needed=needed)
    own = zip(landscape.filters, landscape.center.tensors, strict=True)
    tensors = [as_real(state.get(f.name, tensor).detach()) for f, tensor in own]
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise InputError(f"{what} contains weights that are not finite")
    return tensors


def refuse_same(landscape: Landscape, tensors: Sequence[Tensor], verb: str) -> None:
    """Refuse another minimum that is the center itself.

    Raises:
        InputError: All moved tensors are equal.
    """
    own = map(landscape.center.exact, range(len(tensors)))
    if all(bool((tensor.to(center) == center).all()) for tensor, center in zip(tensors, own, strict=True)):
        raise InputError(f"{verb}: the other minimum has the same weights: there is no path")


@contextlib.contextmanager
def towards(landscape: Landscape, recalibrate: Any) -> Iterator[tuple[frozenset[str], bool]]:
    """Context in which other minima are reached: all parameters are moved, BatchNorm's statistics renewed.

    Yields:
        Names of the tensors that other minima must hold, and whether statistics are renewed.
    """
    with landscape.held():
        needed = needed_of_others(landscape)
        with moving_all(landscape), renewing(landscape, recalibrate) as renewed:
            yield needed, renewed


def own_loss(
    landscape: Landscape,
    point: Minimum,
    on_way: float,
    what: str,
    *,
    needed: Collection[str] | None = None,
    renewed: bool = False,
) -> float:
    """Loss of another minimum with its own tensors; logs a warning if it differs from the loss at the path's end.

    Args:
        landscape: The network, whose tensors that are not moved are used along the whole path.
        point: The other minimum.
        on_way: Loss at the path's end.
        what: Its name in messages.
        needed: See `state_of`.
        renewed: Whether BatchNorm's statistics are renewed along the path.
    """
    state = state_of(landscape, point, what, needed=needed)
    lacking = [name for name in landscape.named_tensors()[1] if is_statistic(name) and name not in state]
    if lacking and renewed:
        _log.warning("%s has no running statistics, such as %s: its loss is that with renewed ones", what, lacking[0])
        return on_way
    if lacking:
        raise InputError(f"{what} has no running statistics, such as {lacking[0]}: pass the whole state dictionary")
    loss = landscape.loss_of(state)
    if not abs(loss - on_way) <= _SAME_LOSS * max(abs(loss), abs(on_way)):
        _log.warning(
            "%s has a loss of %.4g, but %.4g with %s, as at every other evaluated point",
            what,
            loss,
            on_way,
            "renewed running statistics" if renewed else _differences(landscape, state),
        )
    return loss


def _differences(landscape: Landscape, state: Mapping[str, Tensor]) -> str:
    """Name the tensors that are not moved and in which a point differs from the network."""
    moved = {f.name for f in landscape.filters}

    def differs(name: str, own: Tensor) -> bool:
        given = state.get(name)
        if given is None or given.shape != own.shape or name in moved:
            return False
        return not torch.equal(given.to(own), own)

    own_parameters, own_buffers = landscape.named_tensors()
    statistics = any(differs(name, own) for name, own in own_buffers.items())
    parameters = any(differs(name, own) for name, own in own_parameters.items())
    words = [*["running statistics"] * statistics, *["parameters that are not moved"] * parameters]
    return f"the network's own {' and '.join(words)}" if words else "tensors that are not moved"


def gram(center: Center, others: Sequence[Sequence[Tensor]]) -> Float[np.ndarray, "points points"]:
    """Inner products of the displacements from the minimum to the other points, summed tensor by tensor."""
    total = np.zeros((len(others), len(others)))
    for index in range(len(center.filters)):
        origin = center.exact(index).cpu().double()
        displacements = torch.stack([(other[index].detach().cpu().double() - origin).reshape(-1) for other in others])
        total += (displacements @ displacements.T).numpy()
    return total


def spanned(
    landscape: Landscape, others: Sequence[Sequence[Tensor]], how: str
) -> tuple[tuple[Combination, Combination], Float[np.ndarray, "points 3"]]:
    """Span a plane through a network and other points, and project the points onto it.

    Args:
        landscape: The network.
        others: The moved tensors of each other point.
        how: `between`: through the two points; `pca`: along the two principal axes of all points around the network.

    Returns:
        Two orthogonal directions of equal length; and for each point its coordinates along both and its distance from
        the plane. Units of `between` are the distance to the first point; those of `pca` are Euclidean.

    Raises:
        InputError: The points do not span a plane.
    """
    products = gram(landscape.center, others)
    num = len(others)
    if how == "between":
        if num != 2:
            raise InputError(f"slice2d: directions='between' needs two points, not {num}")
        length, unit = np.sqrt(products[0, 0]), "distance to the first point"
        along = products[0, 1] / products[0, 0] if length else 0.0
        first, second = np.array([1.0, 0.0]), np.array([-along, 1.0])
        height = float(np.sqrt(max(second @ products @ second, 0.0)))
        _check_plane(height, max(length, np.sqrt(products[1, 1])))
        _check_plane(length, np.sqrt(products[1, 1]))
        second *= length / height
    else:
        if num < 2:
            raise InputError(f"slice2d: directions='pca' needs two points or more, not {num}")
        length, unit = 1.0, "Euclidean length"
        values, vectors = np.linalg.eigh(products)
        sizes = np.sqrt(np.maximum(values, 0.0))
        _check_plane(sizes[-2], sizes[-1])
        first, second = (vectors[:, -k] / sizes[-k] for k in (1, 2))
    axes = np.stack([first, second])
    coordinates = axes @ products / length**2
    away = np.sqrt(np.maximum(np.diag(products) / length**2 - np.square(coordinates).sum(0), 0.0))
    one, two = (Combination(landscape.center, others, tuple(axis), unit) for axis in axes)
    return (one, two), np.concatenate([coordinates.T, away[:, None]], axis=1)


def _check_plane(height: float, length: float) -> None:
    """Reject points that lie on one line, up to rounding."""
    if not height > _ON_LINE * length:
        raise InputError("slice2d: the points and the network lie on one line; they span no plane")


def named_points(
    verb: str, points: Any, names: Sequence[str] | None, path: str | None
) -> tuple[list[str], list[tuple[str, Minimum]]]:
    """Labels of points in figures, and each point with its name in messages.

    Args:
        verb: Name of the calling function, for messages.
        points: A list of points, or lists by name.
        names: Names of a list's points.
        path: Common label of all points of a list without names; None numbers them.

    Raises:
        InputError: A single point is given instead of a list, or the number of names differs.
    """
    if isinstance(points, str | Path):
        points = recorded(points)
    one = f"{verb}: points is one point: give a list of them, or lists by name"
    if isinstance(points, Mapping):
        if names is not None:
            raise InputError(f"{verb}: points by name have names already: omit names")
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
