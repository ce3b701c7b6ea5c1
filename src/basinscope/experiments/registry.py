"""Every experiment by name, and the names that experiments and figures had in earlier releases."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from basinscope.experiments.contract import Experiment, Settings
from basinscope.runs.engine import Task

_log = logging.getLogger(__name__)

_MODULES: Mapping[str, str] = {
    "minefield": "basinscope.experiments.minefield.experiment",
    "architectures": "basinscope.experiments.architectures.experiment",
    "swissroll": "basinscope.experiments.swissroll.experiment",
    "image_minima": "basinscope.experiments.image_minima.experiment",
    "rings": "basinscope.experiments.rings.experiment",
}
NAMES: tuple[str, ...] = tuple(_MODULES)
OLD_NAMES: Mapping[str, str] = {"cifar10": "architectures", "svhn": "image_minima"}
"""Earlier name of an experiment -> its name."""
OLD_STEMS: Mapping[str, str] = {
    "2-cifar10": "2-architectures",
    "4-svhn": "4-image-minima",
    "5-svhn": "5-image-minima",
    "7-svhn": "7-image-minima",
}
"""Earlier stem of a figure's files -> its stem."""


def resolve(name: str) -> str:
    """Turn an earlier name of an experiment into its name, and log that once; return any other name unchanged."""
    if name not in OLD_NAMES:
        return name
    _tell(name)
    return OLD_NAMES[name]


@cache
def _tell(old: str) -> None:
    _log.warning("the experiment %s is now called %s", old, OLD_NAMES[old])


def spellings(names: Iterable[str]) -> list[str]:
    """List the given names of experiments, and all earlier names of them, by which stored runs may go."""
    wanted = list(names)
    return [*wanted, *(old for old, name in OLD_NAMES.items() if name in wanted)]


def published_folder(out: Path, name: str) -> Path:
    """Find the folder that holds an experiment's figures: OUT/NAME, or one of an earlier name if only that exists."""
    places = [out / spelling for spelling in spellings([name])]
    return next((place for place in places if (place / "run.json").exists()), places[0])


def stored_figure(place: Path, stem: str) -> Path:
    """Name the picture of a figure in a folder, which may hold it under its earlier stem."""
    stems = [stem, *(old for old, new in OLD_STEMS.items() if new == stem)]
    files = [place / f"{spelling}.png" for spelling in stems]
    return next((file for file in files if file.exists()), files[0])


def load_experiment(name: str) -> Experiment[Any, Any]:
    """Import an experiment; nothing heavy is imported before it is asked for."""
    return import_module(_MODULES[resolve(name)]).EXPERIMENT


def reading_files() -> list[str]:
    """Name the experiments whose data may come from files."""
    return [name for name in NAMES if load_experiment(name).reads_files]


def restore(experiment: Experiment[Settings, Any], stored: Mapping[str, Any]) -> Settings:
    """Build a configuration from plain values, see `Experiment.restore`."""
    return experiment.restore(stored)


def tasks_of(name: str, stored: Mapping[str, Any]) -> Sequence[Task]:
    """Build the tasks of an experiment from the plain values of its configuration, on whatever machine."""
    experiment = load_experiment(name)
    return experiment.tasks(experiment.restore(stored))
