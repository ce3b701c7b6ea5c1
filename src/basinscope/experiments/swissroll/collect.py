"""Reads the measurements of a swiss-roll run, the input of its figures and claims."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from basinscope.experiments.compared import MinimaMeasurements, relations_of
from basinscope.experiments.probing import KINDS
from basinscope.experiments.relations import Probed
from basinscope.experiments.swissroll.config import Config
from basinscope.experiments.swissroll.tasks import all_nets, measure_name, panel_nets
from basinscope.runs.store import RunFolder

ENOUGH_NETS = 10
"""Smallest number of networks at which a rank correlation is tested against its target."""


@dataclass(frozen=True)
class Measurements(MinimaMeasurements[Config]):
    """All measurements of a finished run."""

    wide: xr.Dataset
    """Large 2-D slices of the good and the bad net."""
    inset: xr.Dataset
    """Small 2-D slices of both."""
    boundary: xr.Dataset
    frames: xr.Dataset
    """Decision boundaries of both while their weights are moved along a direction."""
    line: xr.Dataset
    """Losses along that direction."""
    train: xr.Dataset
    panels: list[str]


def collect(folder: RunFolder, config: Config) -> Measurements:
    """Read a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
        TrainingDivergedError: Some networks diverged.
    """

    def probed(scaled: bool) -> Probed:
        keys = [measure_name(poison, scaled) for poison in config.poisons]
        return Probed(
            *(
                xr.concat([folder.dataset(f"{kind}-{key}") for key in keys], "net", combine_attrs="override")
                for kind in KINDS
            )
        )

    nets = all_nets(folder, config)
    return Measurements(
        config=config,
        nets=nets,
        relations=relations_of(config, nets, probed, enough_nets=ENOUGH_NETS),
        wide=folder.dataset("slice"),
        inset=folder.dataset("inset"),
        boundary=folder.dataset("boundary"),
        frames=folder.dataset("frames"),
        line=folder.dataset("line"),
        train=folder.dataset("train"),
        panels=panel_nets(nets),
    )
