"""A whole experiment in a few lines: what a folder must offer, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from basinscope.experiments.claims import Claim
from basinscope.experiments.configuration import ExperimentConfig
from basinscope.experiments.contract import Experiment
from basinscope.experiments.exhibit import Exhibit
from basinscope.plots.style import save_figure, styled
from basinscope.results.convert import dataset
from basinscope.runs import atomic
from basinscope.runs.engine import Context, Task
from basinscope.runs.store import Artifact, RunFolder


@dataclass(frozen=True, kw_only=True)
class Config(ExperimentConfig):
    """Settings of the question."""

    NAME: ClassVar[str] = "question"

    height: float = 2.0
    """Height of the plane in nats."""

    @property
    def data(self) -> str:
        """What claims and titles call the data."""
        return "no data"


def tasks(config: Config) -> list[Task]:
    def work(context: Context) -> Mapping[str, Artifact]:
        plane = np.full((2, 3), config.height)
        return {"plane": dataset("boundary", {"x": np.arange(3.0), "y": np.arange(2.0), "logit": plane})}

    return [Task("plane", 0.1, work, after=())]


def collect(folder: RunFolder, config: Config) -> xr.Dataset:
    return folder.dataset("plane").assign_attrs(data=config.data)


def claims(found: xr.Dataset, preset: str) -> list[Claim]:
    height = float(found["logit"].mean())
    told = {"figure": "9-question", "preset": preset, "data": found.attrs["data"], "unit": "nat", "num": 1}
    return [Claim(claim="height of the plane", target=">= 3", measured=height, spread=(height, height), **told)]


def draw(found: xr.Dataset, out: Path) -> list[Path]:
    with styled():
        figure, axes = plt.subplots()
        axes.imshow(found["logit"])
        files = save_figure(figure, out / "9-question", atomic.write)
        plt.close(figure)
    return files


def exhibit(folder: RunFolder, config: Config) -> Exhibit:
    return Exhibit(facts={"height": config.height}, results={"plane": collect(folder, config)})


EXPERIMENT: Experiment[Config, xr.Dataset] = Experiment(
    config=Config,
    summary="How high is a plane?",
    presets={"smoke": Config(), "quick": replace(Config(), height=3.0)},
    figures=("9-question",),
    tasks=tasks,
    collect=collect,
    claims=claims,
    draw=draw,
    exhibit=exhibit,
)
