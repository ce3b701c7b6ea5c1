"""Every experiment by name: its presets, its tasks, and what becomes of its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


def _swissroll() -> Experiment:
    from basinscope.experiments.swissroll import claims, collect, config, figures, tasks

    return Experiment(
        name="swissroll",
        summary="The swiss roll: good and bad minima on two spirals (figures 3, 5 and 6)",
        figures=(*figures.STEMS[:1], figures.MOVING, *figures.STEMS[1:]),
        presets=config.PRESETS,
        source=("experiments/probing.py", "experiments/swissroll/config.py", "experiments/swissroll/tasks.py"),
        tasks=tasks.tasks,
        claims=lambda folder, c, preset: claims.claims(collect.collect(folder, c), preset),
        draw=lambda folder, c, out: figures.draw(collect.collect(folder, c), out),
    )


def _minefield() -> Experiment:
    from basinscope.experiments.minefield import claims, collect, config, figures, tasks

    return Experiment(
        name="minefield",
        summary="The minefield: training's path among bad minima (figure 1)",
        figures=figures.STEMS,
        presets=config.PRESETS,
        source=("experiments/minefield/config.py", "experiments/minefield/tasks.py"),
        tasks=tasks.tasks,
        claims=lambda folder, c, preset: claims.claims(collect.collect(folder, c), preset),
        draw=lambda folder, c, out: figures.draw(collect.collect(folder, c), out),
    )


def _rings() -> Experiment:
    from basinscope.experiments.rings import claims, collect, config, figures, tasks

    return Experiment(
        name="rings",
        summary="The rings: why a circle between two tight rings is hard to find (figure 8)",
        figures=figures.STEMS,
        presets=config.PRESETS,
        source=("experiments/probing.py", "experiments/rings/config.py", "experiments/rings/tasks.py"),
        tasks=tasks.tasks,
        claims=lambda folder, c, preset: claims.claims(collect.collect(folder, c), preset),
        draw=lambda folder, c, out: figures.draw(collect.collect(folder, c), out),
    )


_EXPERIMENTS: Mapping[str, Callable[[], Experiment]] = {
    "minefield": _minefield,
    "swissroll": _swissroll,
    "rings": _rings,
}
NAMES: tuple[str, ...] = tuple(_EXPERIMENTS)


def load(name: str) -> Experiment:
    """Import an experiment; nothing heavy is imported before it is asked for."""
    return _EXPERIMENTS[name]()
