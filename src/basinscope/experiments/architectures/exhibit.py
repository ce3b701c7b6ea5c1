"""Data of models and optimizers for the page: training histories and final results."""

from __future__ import annotations

from basinscope.experiments.architectures.collect import collect
from basinscope.experiments.architectures.config import Config
from basinscope.experiments.architectures.figures import FIT, OPTIMIZERS
from basinscope.experiments.exhibit import Exhibit
from basinscope.runs.store import RunFolder


def exhibit(folder: RunFolder, config: Config) -> Exhibit:
    """Collect the interactive data of a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    found = collect(folder, config)
    courses = {f"course-{name}": history for name, history in found.histories.items()}
    return Exhibit(
        facts={"fit_target": config.fit_target},
        results={"models": found.nets, "optimizers": found.optimizers, **courses},
        downloads={FIT: ("models", *courses), OPTIMIZERS: ("optimizers",)},
    )
