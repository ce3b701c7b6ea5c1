"""Every experiment by name: its presets, its tasks, and what becomes of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from basinscope.experiments.claims import Claim
from basinscope.runs.engine import Task
from basinscope.runs.store import RunFolder

if TYPE_CHECKING:
    from basinscope.experiments.exhibit import Exhibit


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment, as the command line sees it."""

    name: str
    summary: str
    prepare: Callable[[Any, Path | None], Any]
    """Configuration and folder of data files -> configuration that says what the data are."""
    figures: tuple[str, ...]
    """Stems of the figures and animations it draws, in the order of the page."""
    presets: Mapping[str, Any]
    """Frozen configurations by name."""
    source: tuple[str, ...]
    """Files beyond the computing rooms that the run's hash covers, as paths inside the package."""
    tasks: Callable[[Any], Sequence[Task]]
    claims: Callable[[RunFolder, Any, str], Sequence[Claim]]
    """Run folder, configuration and preset -> claims."""
    draw: Callable[[RunFolder, Any, Path], Sequence[Path]]
    """Run folder, configuration and destination -> files drawn."""
    exhibit: Callable[[RunFolder, Any], Exhibit]
    """Run folder and configuration -> what the page holds to be explored."""


_SUMMARIES: Mapping[str, str] = {
    "minefield": "The minefield: training's path among bad minima (figure 1)",
    "cifar10": "Images I: a convolutional net against a linear model, and thirteen optimizers (figure 2)",
    "swissroll": "The swiss roll: good and bad minima on two spirals (figures 3, 5 and 6)",
    "svhn": "Images II: good and bad minima of convolutional nets (figures 4, 5 and 7)",
    "rings": "The rings: why a circle between two tight rings is hard to find (figure 8)",
}
NAMES: tuple[str, ...] = tuple(_SUMMARIES)
IMAGES = ("cifar10", "svhn")
"""Experiments on images, which may come from files."""


def _as_asked(config: Any, _: Path | None) -> Any:
    """Leave the configuration of an experiment that makes its own data as it is."""
    return config


def load(name: str) -> Experiment:
    """Import an experiment; nothing heavy is imported before it is asked for."""

    def part(room: str) -> Any:
        return import_module(f"basinscope.experiments.{name}.{room}")

    prepare, shared = _as_asked, "experiments/probing.py"
    if name in IMAGES:
        imaging = import_module("basinscope.experiments.imaging")
        prepare, shared = partial(imaging.prepare, name), "experiments/imaging.py"
    collect, figures, claims = part("collect").collect, part("figures"), part("claims").claims
    return Experiment(
        name=name,
        summary=_SUMMARIES[name],
        prepare=prepare,
        figures=figures.STEMS,
        presets=part("config").PRESETS,
        source=(shared, f"experiments/{name}/config.py", f"experiments/{name}/tasks.py"),
        tasks=part("tasks").tasks,
        claims=lambda folder, config, preset: claims(collect(folder, config), preset),
        draw=lambda folder, config, out: figures.draw(collect(folder, config), out),
        exhibit=part("exhibit").exhibit,
    )


def restore(experiment: Experiment, stored: Mapping[str, Any]) -> Any:
    """Build a configuration from plain values, as JSON keeps them.

    What another release knew and this one does not is left out; what only this one knows keeps its default.
    """
    config_type = type(next(iter(experiment.presets.values())))
    known = {field.name for field in fields(config_type)}
    kept = {key: tuple(value) if isinstance(value, list) else value for key, value in stored.items() if key in known}
    return config_type(**kept)


def tasks_of(name: str, stored: Mapping[str, Any]) -> Sequence[Task]:
    """Build the tasks of an experiment from the plain values of its configuration, on whatever machine."""
    experiment = load(name)
    return experiment.tasks(restore(experiment, stored))
