"""Defines the experiment on good and bad minima of image networks."""

from __future__ import annotations

from functools import partial

from basinscope.experiments.contract import Experiment
from basinscope.experiments.image_minima.claims import claims
from basinscope.experiments.image_minima.collect import Measurements, collect
from basinscope.experiments.image_minima.config import PRESETS, Config
from basinscope.experiments.image_minima.exhibit import exhibit
from basinscope.experiments.image_minima.figures import STEMS, draw
from basinscope.experiments.image_minima.tasks import KIND, tasks
from basinscope.experiments.imaging import prepare

EXPERIMENT: Experiment[Config, Measurements] = Experiment(
    config=Config,
    summary="Images II: good and bad minima of convolutional nets (figures 4, 5 and 7)",
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
