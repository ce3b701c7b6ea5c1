"""The interface of an experiment, as one typed object.

An experiment is a folder with a module `experiment` that builds one `Experiment` named `EXPERIMENT`, and a line in
`registry`. `collect` returns everything that figures and claims may use; a type checker verifies that `claims` and
`draw` accept its type.
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


def _unchanged(config: Settings, _: Path | None) -> Settings:
    """Return the configuration of an experiment that generates its own data unchanged."""
    return config


@dataclass(frozen=True, kw_only=True)
class Experiment(Generic[Settings, Measurements]):
    """One experiment: configurations, tasks, and what is drawn and claimed from its results.

    Example:
        >>> EXPERIMENT = Experiment(
        ...     config=Config, summary="Which model generalises?", presets=PRESETS, figures=("2-architectures",),
        ...     tasks=tasks, collect=collect, claims=claims, draw=draw, exhibit=exhibit,
        ... )
    """

    config: type[Settings]
    """Configuration class."""
    summary: str
    """One line for listings and the page."""
    presets: Mapping[str, Settings]
    """Configurations by name; at least `smoke`, `quick` and `paper`."""
    figures: tuple[str, ...]
    """Stems of its figures and animations, in the order of the page."""
    tasks: Callable[[Settings], Sequence[Task]]
    """Splits a configuration into tasks. Its module must import all computing code, which the run's hash covers."""
    collect: Callable[[RunFolder, Settings], Measurements]
    """Reads a finished run; raises `DamagedResultError` if a result is missing or unreadable."""
    claims: Callable[[Measurements, str], Sequence[Claim]]
    """Measurements and name of the preset -> the paper's claims with measured values."""
    draw: Callable[[Measurements, Path], Sequence[Path]]
    """Draws all figures into a folder; returns the files."""
    exhibit: Callable[[RunFolder, Settings], Exhibit]
    """Run folder and configuration -> interactive data for the page."""
    prepare: Callable[[Settings, Path | None], Settings] = _unchanged
    """Configuration and data folder -> configuration that records name and checksum of the data."""
    reads_files: bool = False
    """Whether it can read its data from files (`--data-dir`)."""

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self.config.NAME

    @property
    def source(self) -> tuple[str, ...]:
        """Modules whose imports a run's hash covers, see `runs.source`."""
        return (self.config.__module__, self.tasks.__module__)

    def restore(self, stored: Mapping[str, Any]) -> Settings:
        """Build a configuration from plain values, as read from JSON.

        Fields unknown to this release are ignored; fields missing from `stored` keep their defaults.
        """
        known = {field.name for field in fields(self.config)}
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name in known
        }
        return self.config(**values)
