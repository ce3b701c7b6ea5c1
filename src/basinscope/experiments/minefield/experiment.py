"""Defines the minefield experiment."""

from __future__ import annotations

from basinscope.experiments.contract import Experiment
from basinscope.experiments.minefield.claims import claims
from basinscope.experiments.minefield.collect import Measurements, collect
from basinscope.experiments.minefield.config import PRESETS, Config
from basinscope.experiments.minefield.exhibit import exhibit
from basinscope.experiments.minefield.figures import STEMS, draw
from basinscope.experiments.minefield.tasks import tasks

EXPERIMENT: Experiment[Config, Measurements] = Experiment(
    config=Config,
    summary="The minefield: the path of training among bad minima (figure 1)",
    presets=PRESETS,
    figures=STEMS,
    tasks=tasks,
    collect=collect,
    claims=claims,
    draw=draw,
    exhibit=exhibit,
)
