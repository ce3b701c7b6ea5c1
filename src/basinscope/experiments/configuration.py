"""Base class of all experiment configurations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Settings of an experiment; subclasses check their fields at construction."""

    NAME: ClassVar[str]
    """Name of the experiment, on the command line, on disk and in messages."""

    seed: int = 0
    """Seed of initial weights, data order and directions."""
    data_seed: int | None = None
    """Draw of the data; none takes the published one."""

    @property
    def data(self) -> str:
        """Name of the data in claims and titles."""
        raise AssertionError("subclasses name their data")
