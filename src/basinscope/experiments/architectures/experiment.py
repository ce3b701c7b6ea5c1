"""Defines the comparison of models and optimizers on images."""

from __future__ import annotations

from functools import partial

from basinscope.experiments.architectures.claims import claims
from basinscope.experiments.architectures.collect import Measurements, collect
from basinscope.experiments.architectures.config import PRESETS, Config
from basinscope.experiments.architectures.exhibit import exhibit
from basinscope.experiments.architectures.figures import STEMS, draw
from basinscope.experiments.architectures.tasks import KIND, tasks
from basinscope.experiments.contract import Experiment
from basinscope.experiments.imaging import prepare

EXPERIMENT: Experiment[Config, Measurements] = Experiment(
    config=Config,
    summary="Images I: a convolutional net against a linear model, and thirteen optimizers (figure 2)",
    presets=PRESETS,
    figures=STEMS,
    tasks=tasks,
    collect=collect,
    claims=claims,
    draw=draw,
    exhibit=exhibit,
    prepare=partial(prepare, KIND),
    reads_files=True,
)
