"""All experiments by name, and earlier names of experiments and figures."""

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
    """Map an earlier name of an experiment to its current one, with one warning; return other names unchanged."""
    if name not in OLD_NAMES:
        return name
    _warn(name)
    return OLD_NAMES[name]


@cache
def _warn(old: str) -> None:
    _log.warning("the experiment %s is now called %s", old, OLD_NAMES[old])


def spellings(names: Iterable[str]) -> list[str]:
    """List names of experiments with all their earlier names, under which runs may be stored."""
    wanted = list(names)
    return [*wanted, *(old for old, name in OLD_NAMES.items() if name in wanted)]


def published_folder(out: Path, name: str) -> Path:
    """Folder of an experiment's figures: OUT/NAME, or that of an earlier name if only that exists."""
    folders = [out / spelling for spelling in spellings([name])]
    return next((folder for folder in folders if (folder / "run.json").exists()), folders[0])


def stored_figure(place: Path, stem: str) -> Path:
    """Path of a figure's picture in a folder, possibly under its earlier stem."""
    stems = [stem, *(old for old, new in OLD_STEMS.items() if new == stem)]
    files = [place / f"{spelling}.png" for spelling in stems]
    return next((file for file in files if file.exists()), files[0])


def load_experiment(name: str) -> Experiment[Any, Any]:
    """Import an experiment on demand."""
    return import_module(_MODULES[resolve(name)]).EXPERIMENT


def reading_files() -> list[str]:
    """Names of the experiments that can read their data from files."""
    return [name for name in NAMES if load_experiment(name).reads_files]


def restore(experiment: Experiment[Settings, Any], stored: Mapping[str, Any]) -> Settings:
    """Build a configuration from plain values, see `Experiment.restore`."""
    return experiment.restore(stored)


def tasks_of(name: str, stored: Mapping[str, Any]) -> Sequence[Task]:
    """Build the tasks of an experiment from the plain values of its configuration, also on another machine."""
    experiment = load_experiment(name)
    return experiment.tasks(experiment.restore(stored))
