"""The work of a survey, in pieces that can be taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import xarray as xr

from basinscope.landscape.module.objective import Objective
from basinscope.probes.curvature import curvature
from basinscope.probes.radius import basin_radius
from basinscope.probes.sharpness import sharpness
from basinscope.probes.slices import slice1d, slice2d
from basinscope.probes.volume import log_volume
from basinscope.runs.engine import Context, Task
from basinscope.runs.store import Artifact, RunFolder
from basinscope.survey.request import Request

PASSES_OF_A_RADIUS, PASSES_OF_A_PRODUCT, PRODUCTS = 4.2, 10.0, 60
"""What the time left is estimated from, in passes over the batches."""


def tasks(request: Request, opened: Callable[[], Objective]) -> Sequence[Task]:
    """List what is to be done.

    Args:
        request: What was asked for.
        opened: Gives the objective; called when there is work to do.
    """
    found: list[Task] = []

    def add(name: str, cost: float, work: Callable[[Context], xr.Dataset]) -> None:
        def done(context: Context) -> Mapping[str, Artifact]:
            return {name: work(context)}

        found.append(Task(name, cost, done, after=()))

    if "slice1d" in request.probes:
        add("slice1d", request.num_lines * request.line_resolution, lambda c: _slice1d(request, opened(), c))
    if "slice2d" in request.probes:
        add("slice2d", request.resolution**2, lambda c: _slice2d(request, opened(), c))
    if "radius" in request.probes:
        for k, share in enumerate(request.shares()):
            cost = PASSES_OF_A_RADIUS * len(share) + 20 * (request.num_scanned if k == 0 else 0)
            add(f"radius-{k}", cost, lambda c, share=share, k=k: _radius(request, opened(), share, k, c))
    if "curvature" in request.probes:
        products = PRODUCTS + 320 * request.density
        add("curvature", PASSES_OF_A_PRODUCT * products, lambda c: _curvature(request, opened(), c))
    if "sharpness" in request.probes:
        add("sharpness", 120, lambda c: _sharpness(request, opened(), c))
    return found


def _slice1d(request: Request, objective: Objective, context: Context) -> xr.Dataset:
    return slice1d(
        objective,
        seed=request.seed,
        num_directions=request.num_lines,
        extent=request.extent,
        resolution=request.line_resolution,
        progress=context.progress,
    )


def _slice2d(request: Request, objective: Objective, context: Context) -> xr.Dataset:
    return slice2d(
        objective, seed=request.seed, extent=request.extent, resolution=request.resolution, progress=context.progress
    )


def _radius(request: Request, objective: Objective, share: range, number: int, context: Context) -> xr.Dataset:
    return basin_radius(
        objective,
        rise=request.rise if request.cutoff is None else None,
        cutoff=request.cutoff,
        indices=share,
        seed=request.seed,
        tolerance=request.tolerance,
        num_scanned=request.num_scanned if number == 0 else 0,
        progress=context.progress,
    )


def _curvature(request: Request, objective: Objective, context: Context) -> xr.Dataset:
    return curvature(objective, top=request.top, density=request.density, seed=request.seed, progress=context.progress)


def _sharpness(request: Request, objective: Objective, context: Context) -> xr.Dataset:
    return sharpness(
        objective, rho=request.rho, adaptive=request.adaptive, seed=request.seed, progress=context.progress
    )


def collect(folder: RunFolder, request: Request) -> dict[str, xr.Dataset]:
    """Read all results of a finished run, by probe; with the volume beside the radii.

    Raises:
        DamagedResultError: A file is missing or damaged.
    """
    found = {probe: folder.dataset(probe) for probe in request.probes if probe != "radius"}
    if "radius" in request.probes:
        parts = [folder.dataset(f"radius-{k}") for k in range(len(request.shares()))]
        whole = xr.concat(
            parts, "ray", data_vars="minimal", coords="minimal", compat="override", combine_attrs="override"
        )
        found["radius"] = whole
        if int((whole["status"] <= 1).sum()) > 1:
            found["volume"] = log_volume(whole)
    return found
