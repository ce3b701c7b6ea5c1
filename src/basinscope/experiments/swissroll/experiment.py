"""Defines the swiss-roll experiment."""

from __future__ import annotations

from basinscope.experiments.contract import Experiment
from basinscope.experiments.swissroll.claims import claims
from basinscope.experiments.swissroll.collect import Measurements, collect
from basinscope.experiments.swissroll.config import PRESETS, Config
from basinscope.experiments.swissroll.exhibit import exhibit
from basinscope.experiments.swissroll.figures import STEMS, draw
from basinscope.experiments.swissroll.tasks import tasks

EXPERIMENT: Experiment[Config, Measurements] = Experiment(
    config=Config,
    summary="The swiss roll: good and bad minima on two spirals (figures 3, 5 and 6)",
    presets=PRESETS,
    figures=STEMS,
    tasks=tasks,
    collect=collect,
    claims=claims,
    draw=draw,
    exhibit=exhibit,
)
