"""Reads the measurements of a minefield run, the input of its figure and claims."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from basinscope.experiments.minefield.config import Config
from basinscope.experiments.minefield.tasks import bad_minima, map_order
from basinscope.runs.store import RunFolder


@dataclass(frozen=True)
class Measurements:
    """All measurements of a finished run."""

    config: Config
    path: xr.Dataset
    """The good run, iterate by iterate."""
    others: xr.Dataset | None
    """Further good runs."""
    bad: xr.Dataset
    """Every search for a bad minimum."""
    path_map: xr.Dataset
    """Positions of the path's iterates on the map, along `epoch`."""
    bad_map: xr.Dataset
    """Positions of the bad minima on the map, along `net`."""

    @property
    def found(self) -> np.ndarray:
        """Which searches found a bad minimum: training set fitted, test accuracy below the bound."""
        fitted = self.bad["train_accuracy"].values >= self.config.fitted
        return fitted & (self.bad["test_accuracy"].values < self.config.bad_accuracy)

    def final(self, name: str) -> float:
        """Value of a variable at the good run's last iterate."""
        return float(self.path[name].isel(epoch=-1))

    def good_runs(self, name: str, *, same_split: bool) -> np.ndarray:
        """Values of a variable for all good runs, the main one first, on its split or on all splits."""
        if self.others is None:
            return np.array([self.final(name)])
        selected = self.others["split"].values < 0 if same_split else slice(None)
        return np.concatenate([[self.final(name)], self.others[name].values[selected]])

    def norm_at(self, epochs: np.ndarray) -> np.ndarray:
        """Weight norm of the iterates at some epochs; after the end of the run, of the last iterate."""
        indices = np.searchsorted(self.path["epoch"].values, epochs).clip(max=self.path.sizes["epoch"] - 1)
        return self.path["norm"].values[indices]

    def reach_good(self, *, same_split: bool) -> np.ndarray:
        """Which good runs fit all training points and classify enough fresh points correctly."""
        fits = self.good_runs("train_accuracy", same_split=same_split) == 1
        return fits & (self.good_runs("dense_accuracy", same_split=same_split) >= self.config.good_accuracy)

    @property
    def travelled(self) -> np.ndarray:
        """Distance of each iterate from the first, relative to the first one's norm."""
        return self.path["travelled"].values / float(self.path["norm"].isel(epoch=0))


def collect(folder: RunFolder, config: Config) -> Measurements:
    """Read a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    epochs, names = map_order(folder, config)
    positions = folder.dataset("map")
    on_path, on_bad = positions.isel(point=slice(len(epochs))), positions.isel(point=slice(len(epochs), None))
    return Measurements(
        config=config,
        path=folder.dataset("path"),
        others=folder.dataset("others") if config.other_starts + config.other_splits else None,
        bad=bad_minima(folder, config),
        path_map=on_path.rename(point="epoch").assign_coords(epoch=epochs),
        bad_map=on_bad.rename(point="net").assign_coords(net=names),
    )
