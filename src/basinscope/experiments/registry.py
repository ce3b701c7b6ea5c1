"""Every experiment by name: its presets, its tasks, and what becomes of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from basinscope.experiments.claims import Claim
from basinscope.runs.engine import Task
from basinscope.runs.store import RunFolder


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One experiment, as the command line sees it."""

    name: str
    summary: str
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


_SUMMARIES: Mapping[str, str] = {
    "minefield": "The minefield: training's path among bad minima (figure 1)",
    "swissroll": "The swiss roll: good and bad minima on two spirals (figures 3, 5 and 6)",
    "rings": "The rings: why a circle between two tight rings is hard to find (figure 8)",
}
NAMES: tuple[str, ...] = tuple(_SUMMARIES)


def load(name: str) -> Experiment:
    """Import an experiment; nothing heavy is imported before it is asked for."""

    def part(room: str) -> Any:
        return import_module(f"basinscope.experiments.{name}.{room}")

    collect, figures, claims = part("collect").collect, part("figures"), part("claims").claims
    return Experiment(
        name=name,
        summary=_SUMMARIES[name],
        figures=figures.STEMS,
        presets=part("config").PRESETS,
        source=("experiments/probing.py", f"experiments/{name}/config.py", f"experiments/{name}/tasks.py"),
        tasks=part("tasks").tasks,
        claims=lambda folder, config, preset: claims(collect(folder, config), preset),
        draw=lambda folder, config, out: figures.draw(collect(folder, config), out),
    )
