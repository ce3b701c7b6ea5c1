"""What the page holds of an experiment so that it can be explored: facts, and labelled arrays."""

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
    """One experiment on the page."""

    facts: Mapping[str, Any]
    """Plain values that are no results: settings, names, how a network is built."""
    results: Mapping[str, xr.Dataset]
    """Labelled arrays by name."""
    downloads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the results behind each figure, by its stem."""


def samples_of(samples: Samples) -> xr.Dataset:
    """Label samples as a result, in single precision."""
    return dataset("samples", {"inputs": samples.inputs.float(), "labels": samples.labels.to("cpu")})


def weights_of(names: Sequence[str], points: Sequence[Any], *, dtype: Any = np.float32) -> xr.Dataset:
    """Label parameter vectors, one a network."""
    values = np.stack([point.detach().cpu().numpy() for point in points]).astype(dtype)
    about = {"units": "", "long_name": "parameters: weights (outputs × inputs), then biases, layer after layer"}
    return xr.Dataset({"weights": (("net", "param"), values, about)}, {"net": list(names)})


def numbers_of(found: Relations) -> xr.Dataset:
    """Join everything that is known of every network in one table; names of numbers at one clean loss end in `_scaled`.

    Returns:
        Variables along `net`, sizes and volumes in powers of ten.
    """
    table = {str(name): found.nets[name] for name in found.nets.data_vars}
    for probed, suffix in ((found.natural, ""), (found.scaled, "_scaled")):
        radius = probed.median_radius
        radius.attrs.update(units="filter norms", long_name="median radius")
        table[f"radius{suffix}"] = radius
        for name, source in (
            ("sharpness", "mean_curvature"),
            ("sharpness_stderr", "mean_curvature_stderr"),
            ("top_eigenvalue", "top_eigenvalue"),
        ):
            table[f"{name}{suffix}"] = probed.sharpness[source]
        for name, source, told in (
            ("size", "mean_n_log_r", "mean of n·log₁₀ r"),
            ("log10_volume", "log_volume", "log₁₀ of the volume, a lower bound"),
        ):
            value = probed.volume[source] / math.log(10)
            value.attrs.update(units="orders of magnitude", long_name=told)
            table[f"{name}{suffix}"] = value
        table[f"effective_rays{suffix}"] = probed.volume["effective_rays"]
    return xr.Dataset(table)
