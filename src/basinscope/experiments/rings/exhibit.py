"""Data of the rings for the page: a picture of every net, and the weights of some."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from basinscope.data import rings
from basinscope.experiments.exhibit import Exhibit, weights_of
from basinscope.experiments.rings.collect import Measurements, collect
from basinscope.experiments.rings.config import Config
from basinscope.experiments.rings.figures import STEMS
from basinscope.experiments.rings.tasks import EXTENT, NET, circle_name, circle_weights, found_weights, holds
from basinscope.probes.accuracy import accuracy
from basinscope.runs.store import RunFolder

MOST_LIVE = 12
"""Largest number of networks whose 81,302 weights the page contains."""
STEPS_PER_NAT = 16
"""Quantization of the thumbnails' log-odds, which are clipped at ±8 nat."""


def exhibit(folder: RunFolder, config: Config) -> Exhibit:
    """Collect the interactive data of a finished run.

    Raises:
        DamagedResultError: A result is missing or unreadable.
    """
    found = collect(folder, config)
    weights = found_weights(folder, config) | circle_weights(folder, config)
    pairs = _pairs(found)
    live = [name for _, start, circle in pairs for name in (start, circle)]
    rounded = weights_of(live, [weights[name] for name in live], dtype=np.float16)
    gaps = [*config.gaps, *config.stages]
    points = [rings.training_points(gap) for gap in gaps]
    inputs = np.stack([p.inputs.numpy() for p in points]).astype(np.float32)
    samples = {"inputs": (("gap", "sample", "feature"), inputs), "labels": (("sample",), points[0].labels.numpy())}
    nets = _table(found)
    return Exhibit(
        facts={
            "widths": list(NET.widths),
            "extent": EXTENT,
            "inner": rings.INNER,
            "pairs": [{"gap": gap, "start": start, "circle": circle} for gap, start, circle in pairs],
            "rounded": {name: _shares(config, nets, rounded, name) for name in live},
            "steps_per_nat": STEPS_PER_NAT,
        },
        results={
            "weights": rounded,
            "nets": nets,
            "pictures": _pictures(folder.dataset("pictures")),
            "points": xr.Dataset(samples, {"gap": gaps}),
        },
        downloads={STEMS[0]: ("nets", "points"), STEMS[1]: ("nets",)},
    )


def _pairs(found: Measurements) -> list[tuple[float, str, str]]:
    """For gaps from wide to narrow: the gap, the first net from a random start, and a circle at the nearest stage."""
    gaps, stages = np.array(found.config.gaps), np.array(found.config.stages)
    count = min(len(gaps), MOST_LIVE // 2)
    shown = gaps[np.linspace(0, len(gaps) - 1, count).round().astype(int)]
    nearest = [int(np.abs(np.log(stages / gap)).argmin()) for gap in shown]
    return [
        (float(gap), f"gap{gap:g}-start0", circle_name("circle0", stage))
        for gap, stage in zip(shown, nearest, strict=True)
    ]


def _table(found: Measurements) -> xr.Dataset:
    """Every net from a random start, then every circle at every stage, in the order of the pictures."""
    circles = [
        nets.sortby("net").assign_coords(net=[circle_name(str(name), k) for name in sorted(nets["net"].values)])
        for k, nets in enumerate(found.stages)
    ]
    table = xr.concat([*found.found, *circles], "net", combine_attrs="override")
    is_circle = np.char.startswith(table["net"].values.astype(str), "circle")
    flags = {
        "led": (is_circle, "whether the net was led to the circle by closing the gap"),
        "holds": (holds(table, found.config), "whether it separates both inner rings"),
    }
    return table.assign(
        {
            name: ("net", value.astype(np.uint8), {"units": "", "long_name": words})
            for name, (value, words) in flags.items()
        }
    )


def _shares(config: Config, nets: xr.Dataset, rounded: xr.Dataset, name: str) -> list[float]:
    """Shares of the blue and the red inner ring classified correctly with weights rounded to half precision."""
    dense = rings.dense_rings(float(nets["gap"].sel(net=name)), config.num_dense)
    point = torch.from_numpy(rounded["weights"].sel(net=name).values.astype(np.float32))[None]
    of_class = [type(dense)(dense.inputs[dense.labels == k], dense.labels[dense.labels == k]) for k in (0, 1)]
    return [float(accuracy(NET, point, ring)) for ring in of_class]


def _pictures(boundaries: xr.Dataset) -> xr.Dataset:
    """Quantize log-odds to steps of 1/16 nat, preserving their sign."""
    odds = boundaries["logit"].values
    steps = np.clip(np.round(STEPS_PER_NAT * odds), -127, 127)
    steps = np.where(steps == 0, np.where(odds > 0, 1, -1), steps).astype(np.int8)
    about = {"units": "nat/16", "long_name": "log-odds of class 1, at most ±8 nat"}
    return xr.Dataset({"odds": (("net", "y", "x"), steps, about)}, {"net": boundaries["net"].values})
