"""What the swiss-roll run measured, read back from its folder: all that figures and claims see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from basinscope.experiments.swissroll.config import Config
from basinscope.experiments.swissroll.tasks import all_nets, compared_nets, measure_name, panel_nets
from basinscope.runs.store import RunFolder


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of the finite pairs; NaN where there are under three, or one side is constant."""
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < 3 or np.ptp(one[both]) == 0 or np.ptp(other[both]) == 0:
        return float("nan")
    found: Any = spearmanr(one[both], other[both])
    return float(found.statistic)


@dataclass(frozen=True)
class Probed:
    """Radius, volume and sharpness of every network, along `net`."""

    radius: xr.Dataset
    volume: xr.Dataset
    sharpness: xr.Dataset

    @property
    def median_radius(self) -> xr.DataArray:
        """Median radius of each network, in filter norms."""
        return self.radius["radius"].median("ray")


@dataclass(frozen=True)
class Measurements:
    """Everything a finished run holds."""

    config: Config
    nets: xr.Dataset
    natural: Probed
    """As trained."""
    scaled: Probed
    """After last layers were scaled to one clean loss."""
    wide: xr.Dataset
    """Large 2-D slices of the good and the bad net."""
    inset: xr.Dataset
    """Small 2-D slices of both."""
    boundary: xr.Dataset
    frames: xr.Dataset
    """Boundaries of both while their weights go out along a direction."""
    line: xr.Dataset
    """Losses along that direction."""
    train: xr.Dataset
    good: str
    bad: str
    panels: list[str]

    def of(self, name: str, net: str) -> float:
        """One number of one network."""
        return float(self.nets[name].sel(net=net))

    def rank_with_gap(self, values: np.ndarray) -> float:
        """Spearman correlation of the generalisation gap with one value a network."""
        return rank_correlation(self.nets["gap"].values, values)

    @property
    def measured(self) -> np.ndarray:
        """Whether each network's basin could be measured, as trained and scaled."""
        parts = (self.natural.volume, self.scaled.volume)
        return np.all([np.isfinite(part["mean_n_log_r"].values) for part in parts], axis=0)

    def effective_rays(self, probed: Probed) -> float:
        """Effective sample size of the log-volume, median over the networks that could be measured."""
        values = probed.volume["effective_rays"].values[self.measured]
        return float(np.median(values)) if len(values) else float("nan")

    def level(self, poison: float) -> xr.Dataset:
        """The networks of one poison factor."""
        return self.nets.isel(net=np.flatnonzero(self.nets["poison"].values == poison))


def collect(folder: RunFolder, config: Config) -> Measurements:
    """Read a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
        TrainingDivergedError: Some networks diverged.
    """

    def probed(scaled: bool) -> Probed:
        keys = [measure_name(poison, scaled) for poison in config.poisons]
        kinds = ("radius", "volume", "sharpness")
        return Probed(
            *(
                xr.concat([folder.dataset(f"{kind}-{key}") for key in keys], "net", combine_attrs="override")
                for kind in kinds
            )
        )

    nets = all_nets(folder, config)
    good, bad = compared_nets(config)
    return Measurements(
        config=config,
        nets=nets,
        natural=probed(False),
        scaled=probed(True),
        wide=folder.dataset("slice"),
        inset=folder.dataset("inset"),
        boundary=folder.dataset("boundary"),
        frames=folder.dataset("frames"),
        line=folder.dataset("line"),
        train=folder.dataset("train"),
        good=good,
        bad=bad,
        panels=panel_nets(nets),
    )
