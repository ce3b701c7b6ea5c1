"""What the page holds of the experiment on objects: the models' courses, and every optimizer's end."""

from __future__ import annotations

from basinscope.experiments.cifar10.collect import collect
from basinscope.experiments.cifar10.config import Config
from basinscope.experiments.cifar10.figures import FIT, OPTIMIZERS
from basinscope.experiments.exhibit import Exhibit
from basinscope.runs.store import RunFolder


def exhibit(folder: RunFolder, config: Config) -> Exhibit:
    """Gather what can be explored of a finished run.

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
