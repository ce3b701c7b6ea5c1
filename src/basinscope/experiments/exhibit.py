"""Interactive data of an experiment for the page: facts and labelled arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from basinscope.data.samples import Samples
from basinscope.experiments.relations import Relations
from basinscope.results.convert import dataset


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Data of one experiment for the page."""

    facts: Mapping[str, Any]
    """Plain values: settings, names, layer widths."""
    results: Mapping[str, xr.Dataset]
    """Labelled arrays by name."""
    downloads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the results behind each figure, by stem."""


def samples_of(samples: Samples) -> xr.Dataset:
    """Convert samples to a dataset, in single precision."""
    return dataset("samples", {"inputs": samples.inputs.float(), "labels": samples.labels.to("cpu")})


def weights_of(names: Sequence[str], points: Sequence[Any], *, dtype: Any = np.float32) -> xr.Dataset:
    """Convert parameter vectors, one per network, to a dataset."""
    values = np.stack([point.detach().cpu().numpy() for point in points]).astype(dtype)
    about = {"units": "", "long_name": "parameters: weights (outputs × inputs), then biases, layer after layer"}
    return xr.Dataset({"weights": (("net", "param"), values, about)}, {"net": list(names)})


def numbers_of(found: Relations) -> xr.Dataset:
    """Join all measurements of every network in one table.

    Returns:
        Variables along `net`, sizes and volumes in powers of ten; those measured at one clean loss end in `_scaled`.
    """
    table = {str(name): found.nets[name] for name in found.nets.data_vars}
    for probed, suffix in ((found.natural, ""), (found.scaled, "_scaled")):
        radius = probed.median_radius
        radius.attrs.update(units="filter norms", long_name="median radius")
        table[f"radius{suffix}"] = radius
        for name in ("mean_curvature", "mean_curvature_stderr", "top_eigenvalue"):
            table[f"{name}{suffix}"] = probed.mean_curvature[name]
        for name, source, meaning in (
            ("size", "mean_n_log_r", "mean of n·log₁₀ r"),
            ("log10_volume", "log_volume", "log₁₀ of the volume, a lower bound"),
        ):
            value = probed.volume[source] / math.log(10)
            value.attrs.update(units="orders of magnitude", long_name=meaning)
            table[f"{name}{suffix}"] = value
        table[f"effective_rays{suffix}"] = probed.volume["effective_rays"]
    return xr.Dataset(table)
