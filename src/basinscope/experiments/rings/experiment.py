"""Defines the rings experiment."""

from __future__ import annotations

from basinscope.experiments.contract import Experiment
from basinscope.experiments.rings.claims import claims
from basinscope.experiments.rings.collect import Measurements, collect
from basinscope.experiments.rings.config import PRESETS, Config
from basinscope.experiments.rings.exhibit import exhibit
from basinscope.experiments.rings.figures import STEMS, draw
from basinscope.experiments.rings.tasks import tasks

EXPERIMENT: Experiment[Config, Measurements] = Experiment(
    config=Config,
    summary="The rings: why a circle between two tight rings is hard to find (figure 8)",
    presets=PRESETS,
    figures=STEMS,
    tasks=tasks,
    collect=collect,
    claims=claims,
    draw=draw,
    exhibit=exhibit,
)
