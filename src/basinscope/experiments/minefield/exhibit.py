"""Data of the minefield for the page: every iterate of the good run, every bad minimum, and the map."""

from __future__ import annotations

import numpy as np
import xarray as xr

from basinscope.data import spirals
from basinscope.experiments.exhibit import Exhibit, samples_of, weights_of
from basinscope.experiments.minefield.collect import collect
from basinscope.experiments.minefield.config import Config
from basinscope.experiments.minefield.figures import STEMS
from basinscope.experiments.minefield.tasks import NET, mapped_weights
from basinscope.runs.store import RunFolder

MARGIN = 1.15
"""Half the side of the square shown, relative to the largest coordinate of a training point."""


def exhibit(folder: RunFolder, config: Config) -> Exhibit:
    """Collect the interactive data of a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    found = collect(folder, config)
    weights = mapped_weights(folder, config)
    split = spirals.split(config.data_seed)
    is_bad = xr.DataArray(found.found, dims="net", coords={"net": found.bad["net"]})
    bad = found.bad.assign(found=is_bad.astype(np.uint8)).sel(net=found.bad_map["net"])
    bad["found"].attrs.update(units="", long_name="whether a bad minimum was found")
    return Exhibit(
        facts={
            "widths": list(NET.widths),
            "extent": MARGIN * float(split.train.inputs.abs().max()),
            "num_searches": len(found.found),
            "num_bad": int(found.found.sum()),
            "fitted": config.fitted,
            "bad_accuracy": config.bad_accuracy,
        },
        results={
            "weights": weights_of(list(weights), list(weights.values())),
            "path": found.path.assign({name: found.path_map[name] for name in ("x", "y")}).drop_vars("final_epoch"),
            "bad": bad.assign({name: found.bad_map[name] for name in ("x", "y")}),
            "train": samples_of(split.train),
            "test": samples_of(split.test),
        },
        downloads={STEMS[0]: ("path", "bad", "train")},
    )
