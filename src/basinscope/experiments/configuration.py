"""What the configuration of every experiment has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Settings of an experiment; each has a subclass, which checks its fields when it is made."""

    NAME: ClassVar[str]
    """Name of the experiment, on the command line, on disk and in messages."""

    seed: int = 0
    """Moves starting weights, orders and directions."""
    data_seed: int | None = None
    """Which draw of the data; none is the published one."""

    @property
    def data(self) -> str:
        """What claims and titles call the data."""
        raise AssertionError("each experiment names its own")
