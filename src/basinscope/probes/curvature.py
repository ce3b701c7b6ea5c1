"""Eigenvalues, trace, diagonal and spectral density of a network's Hessian, or of another matrix of its weights."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import torch
import xarray as xr

from basinscope.errors import InputError, check_choice
from basinscope.landscape.directions import Stored
from basinscope.landscape.given import stored_directions, tensors_of
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.diagonal import diagonal
from basinscope.probes.extremes import Eigenpairs, extreme_eigenpairs
from basinscope.probes.flat_matrix import FlatMatrix, Hessian, Operator, Scale
from basinscope.probes.labels import labelled
from basinscope.probes.lanczos import EIGEN_TOLERANCE, spectral_density
from basinscope.probes.trace import trace
from basinscope.progress import Watcher, watched
from basinscope.results.convert import Values
from basinscope.seeds import child_seed
from basinscope.settings import checks_settings

_log = logging.getLogger(__name__)
MAX_STEPS = 100
ANNOUNCED_BYTES = 2**30
"""Size of the stored vectors above which it is announced."""


def _announce_memory(matrix: FlatMatrix, vectors: int) -> None:
    size = vectors * matrix.size * matrix.like.element_size()
    if size >= ANNOUNCED_BYTES:
        _log.warning(
            "curvature: stores up to %d vectors of %s entries, %.1f GiB; fewer steps need less",
            vectors,
            f"{matrix.size:,}",
            size / 2**30,
        )


def _eigen_vectors(size: int, steps: int, wanted: int) -> int:
    """Vectors stored by a search for eigenvalues: the Krylov space, and twice as many pairs as wanted."""
    return min(steps, size) + 2 + min(2 * wanted, size)


def _starts(matrix: FlatMatrix, seed: int) -> Callable[[int], torch.Tensor]:
    """Starting vectors of a search for eigenvalues and of its checks."""
    return lambda number: matrix.start(seed, number, "check" if number else "lanczos")


def top_directions(landscape: Landscape, num: int, *, seed: int, progress: Watcher) -> Sequence[Stored]:
    """Make directions along the eigenvectors of largest curvature, with the length of random ones.

    They are eigenvectors of D·H·D, with D the filter norms, scaled to the length of filter-normalised random directions
    so that distances are comparable.

    Raises:
        InputError: The network has fewer moved entries than eigenvectors requested.
    """
    landscape = require(landscape, "curvature", "hessian_vector_product")
    with landscape.held(), watched("eigenvectors", progress) as tell:
        hessian = Hessian(landscape, "filter")
        if num > hessian.size:
            raise InputError(f"{num} eigenvectors of a network with {hessian.size} moved entries: ask for fewer")
        _announce_memory(hessian, _eigen_vectors(hessian.size, max(MAX_STEPS, num), num))
        found = extreme_eigenpairs(
            hessian.product,
            _starts(hessian, seed),
            num,
            tolerance=EIGEN_TOLERANCE,
            max_steps=min(max(MAX_STEPS, num), hessian.size),
            verified=False,
            progress=tell,
        )
    scale = math.sqrt(hessian.size)
    return [Stored(tuple(hessian.blocks(scale * vector)), "filter norms") for vector in found.top.vectors]


@checks_settings
def curvature(
    landscape: Landscape,
    *,
    top: int = 5,
    smallest: int = 0,
    vectors: bool = False,
    density: bool = False,
    operator: Any = None,
    scale: Scale = "plain",
    tolerance: float = EIGEN_TOLERANCE,
    max_steps: int = MAX_STEPS,
    trace_vectors: int = 10,
    diagonal_vectors: int = 0,
    density_starts: int = 8,
    density_steps: int = 40,
    seed: int = 0,
    progress: Watcher = None,
) -> xr.Dataset:
    """Measure eigenvalues, trace, diagonal and density of a network's Hessian by Hessian-vector products.

    A product costs about as much as five passes over a single batch, or ten over several. The search for the default
    five eigenvalues takes 12 to 45, depending on the spectrum; the residual ‖H·v − λ·v‖ of each pair one more; and a
    check, which finds eigenvalues that the search has skipped and further copies of repeated ones, 6 to 30, and more if
    there are some.

    Args:
        landscape: The loss, around the center.
        top: Number of largest eigenvalues.
        smallest: Number of smallest eigenvalues, from the same Lanczos vectors; where they lie dense, such as around 0,
            they need many steps.
        vectors: Whether to return eigenvectors too, as directions in weight space.
        density: Whether to estimate the density of all eigenvalues too.
        operator: Another symmetric matrix A of the moved entries, measured in place of the Hessian and assumed to be in
            its unit, such as a Gauss–Newton or Fisher matrix: anything with `@` on a flat vector (a numpy or torch
            matrix, a `LinearOperator` of scipy, an operator of curvlinops), or a function of a flat torch vector that
            returns a numpy or torch vector. Entries are those of the tensors in `landscape.filters`, in this order,
            each tensor row by row. Two further products check that <Ax, y> = <x, Ay> for random vectors, to 10⁻³ of
            their typical size in single precision and 10⁻⁶ in double.
        scale: `plain`, the Hessian H; `filter`, D·H·D with D = ‖w_f‖/√dim_f, which does not change when a layer is
            scaled up and the next one down, and whose trace is the mean curvature along filter-normalised directions.
        tolerance: Residual of an eigenpair, relative to the eigenvalue of largest magnitude.
        max_steps: Maximum number of Lanczos steps of the search, and again of its check; stores one vector of moved
            entries per step, two more, and two per eigenvalue.
        trace_vectors: Random vectors for the trace, 2 or more; takes twice as many products and stores three times as
            many vectors. 0 skips the trace. With at most twice as many moved entries, the trace is exact.
        diagonal_vectors: Random vectors for the diagonal, 2 or more; takes as many products and stores six vectors.
            0 skips it. With at most as many moved entries, the diagonal is exact.
        density_starts: Number of random starts for the density.
        density_steps: Lanczos steps per start.
        seed: Seed of all random vectors.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `curvature` dataset. Eigenvalues in descending order, and `smallest_eigenvalue` in ascending order, with their
        residuals and a status: `ok`; `max_steps` if the residual exceeds the tolerance; `unchecked` if the check ended
        at `max_steps`, so that one farther out may have been skipped. That a check overlooks one has a probability
        below 10⁻⁴. Eigenvectors v along `entry`, of length 1, as directions in weight space: D·v for `scale="filter"`.
        Trace, diagonal and density have standard errors that are widened by Student's t for few vectors or starts, such
        that ± 1.96 of them are a 95 % interval. Parts not requested are empty, NaN or absent.

        The attribute `products` says how the matrix was multiplied: `second derivatives`, `differences of gradients`
        or `operator`. With vectors or a diagonal, `tensors` is a JSON list of the [name, shape] of the tensors whose
        entries follow each other along `entry`.

    Raises:
        InputError: A setting is out of range, the network cannot be differentiated, or the operator is not a symmetric
            matrix of the moved entries.

    References:
        Lanczos 1950; Epperly, Tropp and Webber 2024, arXiv 2301.07825 (trace); Bekas, Kokiopoulou and Saad 2007
        (diagonal); Ghorbani, Krishnan and Xiao 2019, arXiv 1901.10159 (density).
    """
    landscape = require(landscape, "curvature", *(() if operator is not None else ("hessian_vector_product",)))
    check_choice("scale", scale, get_args(Scale))
    num_vectors = {"trace_vectors": trace_vectors, "diagonal_vectors": diagonal_vectors}
    _refuse({"top": (top, 1), "smallest": (smallest, 0), "max_steps": (max_steps, 1)}, num_vectors)
    _refuse({"density_starts": (density_starts, 1), "density_steps": (density_steps, 2)}, {})
    if not 0 < tolerance < 1:
        raise InputError(f"curvature: tolerance = {tolerance}: must lie between 0 and 1")
    with landscape.held(), watched("curvature", progress) as tell:
        matrix = Hessian(landscape, scale) if operator is None else Operator(landscape, scale, operator, seed)
        size = matrix.size
        num_top, num_smallest = min(top, size), min(smallest, size)
        max_steps = max(max_steps, min(num_top + num_smallest, size))
        stored = (3 * trace_vectors + 2, (density_steps + 2) * density, 6 * (diagonal_vectors > 0))
        stored = (min(max(stored), size), _eigen_vectors(size, max_steps, num_top + num_smallest))
        _announce_memory(matrix, max(stored))
        # Products of each part, by which progress is weighted.
        plan = [2 * max_steps, 2 * trace_vectors, diagonal_vectors, density_starts * density_steps * density]

        def part(number: int) -> Callable[[float], None]:
            return lambda share: tell((sum(plan[:number]) + share * plan[number]) / sum(plan))

        found = extreme_eigenpairs(
            matrix.product,
            _starts(matrix, seed),
            num_top,
            num_smallest,
            tolerance=tolerance,
            max_steps=max_steps,
            progress=part(0),
        )
        values = _of_pairs(matrix, found.top, "", vectors=vectors)
        if smallest:
            values |= _of_pairs(matrix, found.smallest, "smallest_", vectors=vectors)
        values |= _of_trace(matrix, trace_vectors, seed, part(1))
        values |= _of_diagonal(matrix, diagonal_vectors, seed, part(2))
        values |= _of_density(matrix, density_starts * density, min(density_steps, size), seed, part(3))
        tell(1.0)
    return _labelled(matrix, values, seed=str(seed), scale=scale)


def _refuse(least: Mapping[str, tuple[int, int]], num_vectors: Mapping[str, int]) -> None:
    """Check that settings are in range.

    Args:
        least: Each setting and its smallest allowed value.
        num_vectors: Numbers of random vectors, 0 or at least 2.

    Raises:
        InputError: A setting is out of range.
    """
    for name, (value, smallest) in {**least, **{name: (num, 0) for name, num in num_vectors.items()}}.items():
        if value < smallest:
            raise InputError(f"curvature: {name} = {value}: must be at least {smallest}")
    for name, num in num_vectors.items():
        if num == 1:
            what = name.removesuffix("_vectors")
            raise InputError(f"curvature: {name} = 1: must be at least 2, for a standard error, or 0 for no {what}")


def _of_pairs(matrix: FlatMatrix, pairs: Eigenpairs, prefix: str, *, vectors: bool) -> dict[str, Values]:
    """Variables of the eigenvalues at one end of the spectrum."""
    values: dict[str, Values] = {
        f"{prefix}rank": np.arange(1, len(pairs.values) + 1),
        f"{prefix}eigenvalue": pairs.values,
        f"{prefix}residual": pairs.residuals,
        f"{prefix}status": pairs.status,
    }
    if vectors:
        moved = [Stored(tuple(matrix.blocks(vector)), "") for vector in pairs.vectors]
        values[f"{prefix}eigenvector"] = stored_directions(matrix.landscape, moved)
    return values


def _of_trace(matrix: FlatMatrix, num: int, seed: int, tell: Callable[[float], None]) -> dict[str, Values]:
    total, error = math.nan, math.nan
    if num:
        total, error = trace(
            matrix.product, matrix.size, num, like=matrix.like, seed=child_seed(seed, "trace"), progress=tell
        )
    return {"trace": total, "trace_stderr": error}


def _of_diagonal(matrix: FlatMatrix, num: int, seed: int, tell: Callable[[float], None]) -> dict[str, Values]:
    if not num:
        return {}
    entries, errors = diagonal(
        matrix.product, matrix.size, num, like=matrix.like, seed=child_seed(seed, "diagonal"), progress=tell
    )
    return {"diagonal": matrix.whole(entries), "diagonal_stderr": matrix.whole(errors)}


def _of_density(
    matrix: FlatMatrix, starts: int, steps: int, seed: int, tell: Callable[[float], None]
) -> dict[str, Values]:
    if not starts:
        return {"value": np.empty(0), "density": np.empty(0), "density_stderr": np.empty(0)}
    found = spectral_density(
        matrix.product,
        lambda number: matrix.start(seed, 1 + number),
        num_starts=starts,
        steps=steps,
        progress=tell,
    )
    return {"value": found.value, "density": found.density, "density_stderr": found.stderr}


def _labelled(matrix: FlatMatrix, values: Mapping[str, Values], **attributes: str) -> xr.Dataset:
    """Build the dataset, with units and meanings of the matrix."""
    landscape = matrix.landscape
    unit, per = landscape.unit, ("" if attributes["scale"] == "filter" else "weight²")
    size = f"{unit or 1} / {per}" if per else unit
    inverse = f"{per or 1} / {unit}" if unit else per
    inverses = ("density", "density_stderr")
    unitless = ("rank", "status", "eigenvector", "num_products")
    if {"eigenvector", "diagonal"} & set(values):
        attributes["tensors"] = tensors_of(landscape)
    result = labelled(
        "curvature",
        landscape,
        {**values, "num_products": matrix.num_products},
        units={
            name: inverse if name in inverses else size
            for name in values
            if name.removeprefix("smallest_") not in unitless
        },
        products=matrix.products,
        **attributes,
    )
    for variable in result.variables.values():
        variable.attrs["long_name"] = variable.attrs["long_name"].replace("Hessian", matrix.name)
    return result
