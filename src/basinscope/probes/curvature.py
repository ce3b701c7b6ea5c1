"""Largest eigenvalues, trace and spectral density of a network's Hessian."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError, check_choice
from basinscope.landscape.directions import Stored
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.labels import labelled
from basinscope.probes.lanczos import EIGEN_TOLERANCE, Product, spectral_density, top_eigenvalues, trace
from basinscope.progress import Watcher, watched
from basinscope.seeds import child_seed
from basinscope.settings import checks_settings

_log = logging.getLogger(__name__)
Scale = Literal["plain", "filter"]
MAX_STEPS = 100
ANNOUNCED_BYTES = 2**30
"""Size of the Lanczos vectors above which it is announced."""


class Hessian:
    """The Hessian of the moved tensors as one flat matrix H, or D·H·D with D the filter norms."""

    def __init__(self, landscape: Landscape, scale: Scale) -> None:
        self.landscape = landscape
        center = landscape.center
        exact = [center.exact(place) for place in range(len(center.filters))]
        self.like = exact[0].new_empty(0)
        self.size = landscape.num_moved
        self.num_products = 0
        self._diagonal: list[Tensor] | None = None
        if scale == "filter":
            self._diagonal = [f.root_mean_squares(weights) for f, weights in zip(center.filters, exact, strict=True)]

    def blocks(self, flat: Float[Tensor, " size"]) -> list[Tensor]:
        """Split a flat vector into tensors, scaled by D; 0 at entries that masks exclude."""
        center = self.landscape.center
        parts = flat.split([filters.num_moved for filters in center.filters])
        tensors = [
            filters.placed(part.to(tensor.device))
            for part, filters, tensor in zip(parts, center.filters, center.tensors, strict=True)
        ]
        if self._diagonal is not None:
            tensors = [part * scale for part, scale in zip(tensors, self._diagonal, strict=True)]
        return tensors

    def product(self, flat: Float[Tensor, " size"]) -> Float[Tensor, " size"]:
        """Multiply the matrix by a flat vector.

        Raises:
            InputError: The product is not finite.
        """
        self.num_products += 1
        parts = [part.to(self.like.dtype) for part in self.landscape.hessian_vector_product(self.blocks(flat))]
        if self._diagonal is not None:
            parts = [part * scale for part, scale in zip(parts, self._diagonal, strict=True)]
        filters = self.landscape.center.filters
        product = torch.cat([f.picked(part).to(self.like.device) for f, part in zip(filters, parts, strict=True)])
        if not product.isfinite().all():
            raise InputError(
                "the Hessian of the loss is not finite at the network's weights: look for roots, logarithms or powers "
                "of 0 in the network or the loss"
            )
        return product

    def start(self, seed: int, number: int) -> Float[Tensor, " size"]:
        """A random starting vector."""
        stream = torch.Generator().manual_seed(child_seed(seed, "lanczos", number))
        return torch.randn(self.size, generator=stream).to(self.like)


def _announce_memory(hessian: Hessian, vectors: int) -> None:
    size = vectors * hessian.size * hessian.like.element_size()
    if size >= ANNOUNCED_BYTES:
        _log.warning(
            "curvature: stores up to %d vectors of %s entries, %.1f GiB; fewer steps need less",
            vectors,
            f"{hessian.size:,}",
            size / 2**30,
        )


def top_directions(landscape: Landscape, num: int, *, seed: int, progress: Watcher) -> Sequence[Stored]:
    """Make directions along the eigenvectors of largest curvature, with the length of random ones.

    They are eigenvectors of D·H·D, with D the filter norms, scaled to the length of filter-normalised random directions
    so that distances are comparable.

    Raises:
        InputError: The network has fewer moved entries than eigenvectors requested.
    """
    hessian = Hessian(require(landscape, "curvature", "hessian_vector_product"), "filter")
    if num > hessian.size:
        raise InputError(f"{num} eigenvectors of a network with {hessian.size} moved entries: ask for fewer")
    _announce_memory(hessian, MAX_STEPS + 2)
    with landscape.held(), watched("eigenvectors", progress) as tell:
        pairs = top_eigenvalues(
            hessian.product,
            hessian.start(seed, 0),
            num,
            tolerance=1e-3,
            max_steps=min(max(MAX_STEPS, num), hessian.size),
            vectors=True,
            progress=tell,
        )
    scale = math.sqrt(hessian.size)
    return [Stored(tuple(hessian.blocks(scale * vector)), "filter norms") for vector in pairs.vectors]


@checks_settings
def curvature(
    landscape: Landscape,
    *,
    top: int = 5,
    density: bool = False,
    scale: Scale = "plain",
    tolerance: float = EIGEN_TOLERANCE,
    max_steps: int = MAX_STEPS,
    trace_vectors: int = 10,
    density_starts: int = 8,
    density_steps: int = 40,
    seed: int = 0,
    progress: Watcher = None,
) -> xr.Dataset:
    """Measure eigenvalues, trace and density of a network's Hessian by Hessian-vector products.

    A product costs about as much as five passes over a single batch, or ten over several. The residual ‖H·v − λ·v‖ of
    each eigenpair takes one more.

    Args:
        landscape: The loss, around the center.
        top: Number of largest eigenvalues.
        density: Whether to estimate the density of all eigenvalues too.
        scale: `plain`, the Hessian H; `filter`, D·H·D with D = ‖w_f‖/√dim_f, which does not change when a layer is
            scaled up and the next one down, and whose trace is the mean curvature along filter-normalised directions.
        tolerance: Residual of an eigenpair, relative to the eigenvalue of largest magnitude.
        max_steps: Maximum number of Lanczos steps; stores one vector of moved entries per step, and two more.
        trace_vectors: Random vectors for the trace, 2 or more; takes twice as many products and stores three times as
            many vectors. 0 skips the trace. With at most twice as many moved entries, the trace is exact.
        density_starts: Number of random starts for the density.
        density_steps: Lanczos steps per start.
        seed: Seed of all random vectors.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        A `curvature` dataset: eigenvalues in descending order with their residuals and a status, the trace with its
        standard error, and the density with its own; parts not requested are empty or NaN.

    Raises:
        InputError: A setting is out of range, or the network cannot be differentiated twice.

    References:
        Lanczos 1950; Epperly, Tropp and Webber 2024, arXiv 2301.07825 (trace); Ghorbani, Krishnan and Xiao 2019,
        arXiv 1901.10159 (density).
    """
    landscape = require(landscape, "curvature", "hessian_vector_product")
    check_choice("scale", scale, get_args(Scale))
    for name, value, least in (
        ("top", top, 1),
        ("max_steps", max_steps, 1),
        ("trace_vectors", trace_vectors, 0),
        ("density_starts", density_starts, 1),
        ("density_steps", density_steps, 2),
    ):
        if value < least:
            raise InputError(f"curvature: {name} = {value}: must be at least {least}")
    if trace_vectors == 1:
        raise InputError("curvature: trace_vectors = 1: must be at least 2, for a standard error, or 0 for no trace")
    if not 0 < tolerance < 1:
        raise InputError(f"curvature: tolerance = {tolerance}: must lie between 0 and 1")
    hessian = Hessian(landscape, scale)
    num = min(top, hessian.size)
    max_steps = max(max_steps, num)
    num_stored = max(max_steps + 2, 3 * trace_vectors + 2, (density_steps + 2) * density)
    _announce_memory(hessian, min(num_stored, hessian.size))
    # Products of each part, by which progress is weighted.
    plan = [max_steps, 2 * trace_vectors, density_starts * density_steps * density]
    with landscape.held(), watched("curvature", progress) as tell:

        def part(number: int) -> Callable[[float], None]:
            return lambda share: tell((sum(plan[:number]) + share * plan[number]) / sum(plan))

        product: Product = hessian.product
        limits = {"tolerance": tolerance, "max_steps": max_steps}
        pairs = top_eigenvalues(product, hessian.start(seed, 0), num, **limits, verified=True, progress=part(0))
        total, error = math.nan, math.nan
        if trace_vectors:
            total, error = trace(
                product,
                hessian.size,
                trace_vectors,
                like=hessian.like,
                seed=child_seed(seed, "trace"),
                progress=part(1),
            )
        value = curve = stderr = np.empty(0)
        if density:
            spread = spectral_density(
                product,
                lambda number: hessian.start(seed, 1 + number),
                num_starts=density_starts,
                steps=min(density_steps, hessian.size),
                progress=part(2),
            )
            value, curve, stderr = spread.value, spread.density, spread.stderr
        tell(1.0)
    unit, per = landscape.unit, ("" if scale == "filter" else "weight²")
    size = f"{unit or 1} / {per}" if per else unit
    inverse = f"{per or 1} / {unit}" if unit else per
    return labelled(
        "curvature",
        landscape,
        {
            "rank": np.arange(1, len(pairs.values) + 1),
            "eigenvalue": pairs.values,
            "residual": pairs.residuals,
            "status": (pairs.residuals > pairs.bound).astype(np.int8),
            "trace": total,
            "trace_stderr": error,
            "value": value,
            "density": curve,
            "density_stderr": stderr,
            "num_products": hessian.num_products,
        },
        units=dict.fromkeys(("eigenvalue", "residual", "trace", "trace_stderr", "value"), size)
        | {"density": inverse, "density_stderr": inverse},
        seed=str(seed),
        scale=scale,
    )
