"""Reads the measurements of a run on minima of image networks, the input of its figures and claims."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from basinscope.experiments.compared import MinimaMeasurements, relations_of
from basinscope.experiments.image_minima.config import Config
from basinscope.experiments.image_minima.tasks import share_name
from basinscope.experiments.relations import Probed
from basinscope.probes.volume import log_volume
from basinscope.results.convert import stack_nets, unmeasured
from basinscope.runs.store import RunFolder

ENOUGH_NETS = 6
"""Smallest number of networks at which a rank correlation is tested against its target."""
_COUNTED = ("num_scanned", "num_earlier")


@dataclass(frozen=True)
class Measurements(MinimaMeasurements[Config]):
    """All measurements of a finished run."""

    lines: xr.Dataset
    """Losses along random lines from the good and the bad net."""
    slices: xr.Dataset
    """1-D slices through both."""
    surfaces: xr.Dataset
    """2-D slices through both."""


def _joined(parts: list[xr.Dataset]) -> xr.Dataset:
    """Concatenate the radii of one network, measured in several tasks."""
    whole = xr.concat(parts, "ray", data_vars="minimal", coords="minimal", compat="override", combine_attrs="override")
    return whole.assign({name: whole[name].copy(data=sum(float(p[name]) for p in parts)) for name in _COUNTED})


def _volume(radius: xr.Dataset) -> xr.Dataset:
    """Compute the volume from the radii; all NaN if they could not be measured."""
    if (radius["status"].values < 0).all():
        return unmeasured("volume")
    return log_volume(radius)


def collect(folder: RunFolder, config: Config) -> Measurements:
    """Read a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    names = config.net_names()
    nets = xr.concat([folder.dataset(f"nets-{net}") for net in names], "net", combine_attrs="override")

    def probed(scaled: bool) -> Probed:
        shares = range(len(config.shares()))
        radii = [_joined([folder.dataset(f"radius-{share_name(net, scaled, k)}") for k in shares]) for net in names]
        sharp = [folder.dataset(f"mean_curvature-{net}{'-scaled' if scaled else ''}") for net in names]
        volumes = [_volume(radius) for radius in radii]
        return Probed(*(stack_nets(names, parts) for parts in (radii, volumes, sharp)))

    compared = config.compared

    def both(kind: str) -> xr.Dataset:
        return stack_nets(compared, [folder.dataset(f"{kind}-{net}") for net in compared])

    return Measurements(
        config=config,
        nets=nets,
        relations=relations_of(config, nets, probed, enough_nets=ENOUGH_NETS),
        lines=both("lines"),
        slices=both("slice1d"),
        surfaces=both("slice2d"),
    )
