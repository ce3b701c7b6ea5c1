"""The contract of an experiment: what its folder must offer, as one typed object.

An experiment is a folder with a module `experiment` that builds one `Experiment` named `EXPERIMENT`, and a line in
`registry`. `collect` returns all that figures and claims see; its type is the one that `claims` and `draw` take, which
a type checker verifies where the object is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from basinscope.experiments.claims import Claim
from basinscope.experiments.configuration import ExperimentConfig
from basinscope.runs.engine import Task
from basinscope.runs.store import RunFolder

if TYPE_CHECKING:
    from basinscope.experiments.exhibit import Exhibit

Settings = TypeVar("Settings", bound=ExperimentConfig)
Measurements = TypeVar("Measurements")


def _as_asked(config: Settings, _: Path | None) -> Settings:
    """Leave the configuration of an experiment that makes its own data as it is."""
    return config


@dataclass(frozen=True, kw_only=True)
class Experiment(Generic[Settings, Measurements]):
    """One experiment: its configurations, its work, and what becomes of its results.

    Example:
        >>> EXPERIMENT = Experiment(
        ...     config=Config, summary="Which model generalises?", presets=PRESETS, figures=("2-architectures",),
        ...     tasks=tasks, collect=collect, claims=claims, draw=draw, exhibit=exhibit,
        ... )
    """

    config: type[Settings]
    """Class of its configurations."""
    summary: str
    """One line for lists and for the page."""
    presets: Mapping[str, Settings]
    """Configurations by name; `smoke`, `quick` and `paper` at least."""
    figures: tuple[str, ...]
    """Stems of the figures and animations it draws, in the order of the page."""
    tasks: Callable[[Settings], Sequence[Task]]
    """Cuts a configuration into tasks. A function of the module whose imports do all the computing."""
    collect: Callable[[RunFolder, Settings], Measurements]
    """Reads a finished run; raises `DamagedResultError` where a result is missing or unreadable."""
    claims: Callable[[Measurements, str], Sequence[Claim]]
    """Measurements and name of the preset -> the paper's claims beside what was measured."""
    draw: Callable[[Measurements, Path], Sequence[Path]]
    """Draws all figures into a folder and returns the files."""
    exhibit: Callable[[RunFolder, Settings], Exhibit]
    """Run folder and configuration -> what the page holds to be explored."""
    prepare: Callable[[Settings, Path | None], Settings] = _as_asked
    """Configuration and folder of data files -> configuration that says what the data are."""
    reads_files: bool = False
    """Whether its data may come from files, which `--data-dir` names."""

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.config.NAME

    @property
    def source(self) -> tuple[str, ...]:
        """Modules at which the source that a run's hash covers begins, see `runs.source`."""
        return (self.config.__module__, self.tasks.__module__)

    def restore(self, stored: Mapping[str, Any]) -> Settings:
        """Build a configuration from plain values, as JSON keeps them.

        What another release knew and this one does not is left out; what only this one knows keeps its default.
        """
        known = {field.name for field in fields(self.config)}
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name in known
        }
        return self.config(**kept)
