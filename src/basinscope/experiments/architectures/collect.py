"""Reads the measurements of a run on models and optimizers, the input of its figures and claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr

from basinscope.experiments.architectures.config import Config
from basinscope.runs.store import RunFolder


@dataclass(frozen=True)
class Measurements:
    """All measurements of a finished run."""

    config: Config
    nets: xr.Dataset
    """The network, a larger one if there is one, and the linear model."""
    histories: Mapping[str, xr.Dataset]
    """Accuracy over training, by model."""
    optimizers: xr.Dataset
    """One network trained by many optimizers."""

    def of(self, name: str, net: str) -> float:
        """Value of a variable for one model."""
        return float(self.nets[name].sel(net=net))

    @property
    def fitted(self) -> xr.Dataset:
        """Optimizers that fit the training images."""
        return self.optimizers.isel(net=self.optimizers["train_accuracy"].values >= self.config.fit_target)


def collect(folder: RunFolder, config: Config) -> Measurements:
    """Read a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    names = list(config.models())
    joined = {
        what: xr.concat([folder.dataset(f"{stem}-{name}") for name in keys], "net", combine_attrs="override")
        for what, stem, keys in (("nets", "nets", names), ("optimizers", "optimizer", config.optimizers))
    }
    return Measurements(config=config, histories={name: folder.dataset(f"history-{name}") for name in names}, **joined)
