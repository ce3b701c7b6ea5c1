"""Reads the measurements of a rings run, the input of its figures and claims."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr

from basinscope.errors import TrainingDivergedError
from basinscope.experiments.rings.config import Config
from basinscope.experiments.rings.tasks import comparable, comparable_circles, holds, stage_name, tightest_stage
from basinscope.runs.store import RunFolder

PANELS = ("wide", "pinched", "circle")


@dataclass(frozen=True)
class GapComparison:
    """One group of nets at the compared gap; every array has one value per net."""

    names: list[str]
    margin: np.ndarray
    """Mean margin around the points of the two inner rings."""
    smallest_margin: np.ndarray
    clean_loss: np.ndarray
    size: dict[str, np.ndarray]
    """Mean n·log₁₀ r, `as trained` and `scaled`."""
    mean_curvature: dict[str, np.ndarray]
    """Mean dᵀHd in nats, likewise."""


@dataclass(frozen=True)
class Measurements:
    """All measurements of a finished run."""

    config: Config
    found: list[xr.Dataset]
    """Nets from random starts, one dataset per gap."""
    stages: list[xr.Dataset]
    """Circles, one dataset per stage."""
    tightest: int
    """Stage at which circles are compared with nets from random starts."""
    circles: GapComparison | None
    beside: GapComparison | None
    """Nets from random starts at the same gap."""
    boundaries: dict[str, xr.Dataset]
    unrolled: dict[str, xr.Dataset]
    train: dict[str, xr.Dataset]

    @property
    def compared_gap(self) -> float:
        """Smallest gap at which a circle separates both inner rings."""
        return self.config.stages[self.tightest]

    def circle_share(self, nets: xr.Dataset) -> float:
        """Share of nets that separate both inner rings."""
        return float(holds(nets, self.config).mean())


def collect(folder: RunFolder, config: Config) -> Measurements:
    """Read a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
        TrainingDivergedError: Some networks diverged.
    """
    found = [folder.dataset(f"found-gap{gap:g}") for gap in config.gaps]
    stages = [folder.dataset(stage_name(stage)) for stage in range(len(config.stages))]
    for nets in (*found, *stages):
        lost = nets["diverged_at"].values >= 0
        if lost.any():
            named = ", ".join(
                f"{name} at gap {float(nets['gap'][0]):g}, step {step}"
                for name, step in zip(nets["net"].values[lost], nets["diverged_at"].values[lost], strict=True)
            )
            raise TrainingDivergedError(f"training diverged: {named}; lower rings.learning_rate and run again")
    tightest = tightest_stage(folder, config)
    at_tightest, beside = stages[tightest], folder.dataset("beside")
    circles = _names(at_tightest, comparable_circles(at_tightest, config))
    others = _names(beside, comparable(beside, config))

    def compared(names: list[str], nets: xr.Dataset) -> GapComparison | None:
        if not names:
            return None
        margin = folder.dataset("margin").sel(net=names)["margin"]
        variants = {"as trained": "", "scaled": "-scaled"}
        return GapComparison(
            names=names,
            margin=margin.mean("sample").values,
            smallest_margin=margin.min("sample").values,
            clean_loss=nets["clean_loss"].sel(net=names).values,
            size={
                words: folder.dataset(f"volume{suffix}").sel(net=names)["mean_n_log_r"].values / math.log(10)
                for words, suffix in variants.items()
            },
            mean_curvature={
                words: folder.dataset(f"mean_curvature{suffix}").sel(net=names)["mean_curvature"].values
                for words, suffix in variants.items()
            },
        )

    return Measurements(
        config=config,
        found=found,
        stages=stages,
        tightest=tightest,
        circles=compared(circles, at_tightest),
        beside=compared(others, beside),
        boundaries={key: folder.dataset(f"boundary-{key}") for key in PANELS},
        unrolled={key: folder.dataset(f"unrolled-{key}") for key in PANELS},
        train={key: folder.dataset(f"train-{key}") for key in PANELS},
    )


def _names(nets: xr.Dataset, chosen: np.ndarray) -> list[str]:
    return [str(name) for name in nets["net"].values[chosen]]
