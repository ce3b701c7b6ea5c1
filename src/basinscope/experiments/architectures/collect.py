"""What the run of all models and optimizers measured, read back from its folder: all that figures and claims see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr

from basinscope.experiments.architectures.config import Config
from basinscope.runs.store import RunFolder


@dataclass(frozen=True)
class Measurements:
    """Everything a finished run holds."""

    config: Config
    nets: xr.Dataset
    """The network, a larger one if there is one, and the linear model."""
    histories: Mapping[str, xr.Dataset]
    """Accuracy over training, by model."""
    optimizers: xr.Dataset
    """One network trained by many optimizers."""

    def of(self, name: str, net: str) -> float:
        """One number of one model."""
        return float(self.nets[name].sel(net=net))

    @property
    def fitted(self) -> xr.Dataset:
        """The optimizers that fitted the training images."""
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
