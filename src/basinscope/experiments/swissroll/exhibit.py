"""Data of the swiss roll for the page: all networks and their measurements."""

from __future__ import annotations

from basinscope.data import swissroll
from basinscope.experiments.exhibit import Exhibit, numbers_of, samples_of, weights_of
from basinscope.experiments.swissroll.collect import collect
from basinscope.experiments.swissroll.config import Config
from basinscope.experiments.swissroll.figures import BOUNDARIES, FLOOR, MOVING, RELATIONS, SURFACES
from basinscope.experiments.swissroll.tasks import BOUNDARY_EXTENT, NET, NORMALIZATION, dense_test_set, points_of
from basinscope.runs.store import RunFolder

NUM_TEST = 1_000
"""Points of the dense test set on which the page evaluates pushed networks."""


def exhibit(folder: RunFolder, config: Config) -> Exhibit:
    """Collect the interactive data of a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    found = collect(folder, config)
    names = [str(net) for net in found.nets["net"].values]
    train, _ = swissroll.training_draw(config.data_seed)
    return Exhibit(
        facts={
            **found.facts(),
            "widths": list(NET.widths),
            "extent": BOUNDARY_EXTENT,
            "floor": FLOOR,
            "runs": config.runs,
            "num_moved": NORMALIZATION.num_moved,
            "test": f"{NUM_TEST:,} fresh points",
        },
        results={
            "weights": weights_of(names, points_of(folder, config, names, "cpu")),
            "nets": numbers_of(found.relations),
            "radii": found.relations.natural.radius[["radius"]],
            "lines": folder.dataset("lines"),
            "sharpest": folder.dataset("sharpest"),
            "slice": found.wide[["loss"]],
            "middle": found.inset[["loss"]],
            "train": samples_of(train),
            "test": samples_of(dense_test_set(config.data_seed, NUM_TEST)),
        },
        downloads={
            SURFACES: ("slice", "middle", "train"),
            MOVING: ("sharpest",),
            RELATIONS: ("nets", "radii", "lines"),
            BOUNDARIES: ("nets", "train"),
        },
    )
