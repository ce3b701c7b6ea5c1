"""Other points in the space of a network's parameters: minima and checkpoints, as state dictionaries or files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basinscope.checkpoints.files import read_state
from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Combination
from basinscope.landscape.protocol import Landscape

Minimum = Mapping[str, Tensor] | Tensor | nn.Module | str | Path
"""A state dictionary, a network of the same kind, or a file of either: safetensors, or what `torch.save` wrote.

Around a loss of flat vectors also a flat vector."""
Points = Sequence[Minimum] | Mapping[str, Sequence[Minimum] | str | Path] | str | Path
"""A list of points, or the folder of a `Recorder`; or several of these by name."""
_SAME_LOSS = 1e-3
"""Relative difference of losses that is not worth telling."""
_log = logging.getLogger(__name__)
_TOLD = 3
"""Mismatches that a message names."""
_ON_LINE = 1e-5
"""Distance from a line, relative to its length, that rounding of weights may explain."""


def state_of(landscape: Landscape, point: Minimum, what: str) -> Mapping[str, Tensor]:
    """The tensors of a point by name, read from its file if it is one.

    Raises:
        InputError: There is no such file, or it holds no weights.
    """
    if isinstance(point, Tensor):
        named = getattr(landscape, "named", None)
        if named is None:
            raise InputError(f"{what} is a tensor: give a state dictionary, a network or a file")
        return named(point, what)
    if isinstance(point, nn.Module):
        return point.state_dict()
    if isinstance(point, str | Path):
        try:
            return read_state(Path(point))
        except InputError as error:
            raise InputError(f"{what}: {error}") from error
    return point


COPIES = "step-*.safetensors"
"""Names of the copies that a `Recorder` writes."""


def recorded(folder: str | Path) -> list[Path]:
    """The copies that a `Recorder` wrote into a folder, in their order.

    Raises:
        InputError: There are none.
    """
    found = sorted(Path(folder).glob(COPIES))
    if not found:
        raise InputError(f"points: {folder} holds no copies that a Recorder wrote (step-….safetensors)")
    return found


def moved_tensors(landscape: Landscape, point: Minimum, what: str) -> list[Tensor]:
    """Pick the moved tensors out of a state dictionary.

    Raises:
        InputError: Some are missing or of another shape, of which the message names the first three; or not finite.
    """
    state = state_of(landscape, point, what)
    # Tied tensors stand in a state dictionary under all of their names.
    wrong = [
        f"{f.name}: {'missing' if f.name not in state else tuple(state[f.name].shape)}, not {tuple(f.shape)}"
        for f in landscape.filters
        if f.name not in state or state[f.name].shape != f.shape
    ]
    if wrong:
        more = f" and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise InputError(f"{what} does not fit {landscape.network}: {'; '.join(wrong[:_TOLD])}{more}")
    tensors = [state[f.name].detach() for f in landscape.filters]
    if not all(bool(tensor.isfinite().all()) for tensor in tensors):
        raise InputError(f"{what} holds weights that are not finite")
    return tensors


def own_loss(landscape: Landscape, point: Minimum, on_way: float, what: str) -> float:
    """Loss of another minimum as it is; says so where that is not what it has on the way to it.

    Args:
        landscape: The network, whose running statistics and other tensors that are not moved hold on the whole way.
        point: The other minimum.
        on_way: The loss with its moved tensors alone.
        what: What to call it in a message.
    """
    state = state_of(landscape, point, what)
    loss = landscape.loss_of(state)
    if not abs(loss - on_way) <= _SAME_LOSS * max(abs(loss), abs(on_way)):
        left, hint = _left_behind(landscape, state)
        _log.warning(
            "%s has a loss of %.4g, but %.4g with the network's own %s, which hold at every point that is drawn%s",
            what,
            loss,
            on_way,
            left,
            hint,
        )
    return loss


def _left_behind(landscape: Landscape, state: Mapping[str, Tensor]) -> tuple[str, str]:
    """What a point has that is not moved and differs from the network's, in words; and what to do about it."""
    moved = {f.name for f in landscape.filters}

    def differs(name: str, own: Tensor) -> bool:
        given = state.get(name)
        if given is None or given.shape != own.shape or name in moved:
            return False
        return not torch.equal(given.to(own), own)

    own_parameters, own_buffers = landscape.named_tensors()
    statistics = any(differs(name, own) for name, own in own_buffers.items())
    parameters = any(differs(name, own) for name, own in own_parameters.items())
    words = [*["running statistics"] * statistics, *["biases and other parameters that are not moved"] * parameters]
    hint = "; one_dim='moved' moves biases, too" if parameters and not statistics else ""
    return " and ".join(words) or "tensors that are not moved", hint


def gram(center: Center, others: Sequence[Sequence[Tensor]]) -> Float[np.ndarray, "points points"]:
    """Inner products of the ways from the minimum to the other points, tensor by tensor."""
    total = np.zeros((len(others), len(others)))
    for place in range(len(center.filters)):
        here = center.exact(place).cpu().double()
        ways = torch.stack([(other[place].detach().cpu().double() - here).reshape(-1) for other in others])
        total += (ways @ ways.T).numpy()
    return total


def spanned(
    landscape: Landscape, others: Sequence[Sequence[Tensor]], how: str
) -> tuple[tuple[Combination, Combination], Float[np.ndarray, "points 3"]]:
    """Span a plane through a network by other points; place them on it.

    Args:
        landscape: The network.
        others: The moved tensors of each other point.
        how: `between`, through the first two; `pca`, along the two main axes of all as seen from the network.

    Returns:
        Two orthogonal directions of one length; and for each point its place along both, and its distance from the
        plane. Units of `between` are the distance to the first point; those of `pca` are Euclidean.

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
        _refuse_line(height, max(length, np.sqrt(products[1, 1])))
        _refuse_line(length, np.sqrt(products[1, 1]))
        second *= length / height
    else:
        if num < 2:
            raise InputError(f"slice2d: directions='pca' needs two points or more, not {num}")
        length, unit = 1.0, "Euclidean length"
        values, vectors = np.linalg.eigh(products)
        sizes = np.sqrt(np.maximum(values, 0.0))
        _refuse_line(sizes[-2], sizes[-1])
        first, second = (vectors[:, -k] / sizes[-k] for k in (1, 2))
    axes = np.stack([first, second])
    places = axes @ products / length**2
    away = np.sqrt(np.maximum(np.diag(products) / length**2 - np.square(places).sum(0), 0.0))
    one, two = (Combination(landscape.center, others, tuple(axis), unit) for axis in axes)
    return (one, two), np.concatenate([places.T, away[:, None]], axis=1)


def _refuse_line(height: float, length: float) -> None:
    """Refuse points that are no farther off a line than rounding puts them."""
    if not height > _ON_LINE * length:
        raise InputError("slice2d: the points and the network lie on one line; they span no plane")


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
