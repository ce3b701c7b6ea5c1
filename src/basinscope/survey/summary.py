"""The numbers of a survey in one table: each with its uncertainty, its unit and its n."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr


@dataclass(frozen=True)
class Row:
    """One number."""

    name: str
    value: float
    spread: str
    """What its uncertainty is, in words and numbers; empty for an exact number."""
    unit: str
    num: int
    """What it rests on: rays, vectors, ascents."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; a number that is not finite becomes null."""
        return asdict(self) | {"value": self.value if math.isfinite(self.value) else None}


def rows(results: Mapping[str, xr.Dataset]) -> list[Row]:
    """Sum up the results of one network.

    Args:
        results: By probe, as `tasks.collect` returns them.
    """
    found: list[Row] = []
    first = next(iter(results.values()))
    unit = str(first.attrs.get("loss_unit", ""))
    if "radius" in results:
        found += _radius(results["radius"], unit)
    elif (loss := _center_loss(results)) is not None:
        found.append(Row("loss", loss, "", unit, 1))
    if "volume" in results:
        found += _volume(results["volume"])
    if "curvature" in results:
        found += _curvature(results["curvature"])
    if "sharpness" in results:
        found += _sharpness(results["sharpness"], unit)
    if "slice2d" in results:
        loss = results["slice2d"]["loss"].values
        missing = int((~np.isfinite(loss)).sum())
        found.append(Row("2-D slice: points that are not finite", missing, "", "", loss.size))
    return found


def _center_loss(results: Mapping[str, xr.Dataset]) -> float | None:
    """Loss of the network itself, from whichever result tells it."""
    if "sharpness" in results:
        return float(results["sharpness"]["center_loss"])
    if "slice1d" in results and 0 in results["slice1d"]["distance"].values:
        return float(results["slice1d"]["loss"].isel(ray=0).sel(distance=0))
    return None


def _radius(radii: xr.Dataset, unit: str) -> list[Row]:
    radius, status = radii["radius"].values, radii["status"].values
    known = radius[np.isfinite(radius)]
    length = str(radii["radius"].attrs["units"])
    found = [Row("loss", float(radii["center_loss"]), "", unit, 1), Row("cutoff", float(radii["cutoff"]), "", unit, 1)]
    if len(known):
        low, high = np.quantile(known, [0.05, 0.95])
        middle = float(np.median(known))
        found.append(Row("basin radius, median", middle, f"5 to 95 %: {low:.3g} to {high:.3g}", length, len(known)))
    found += [
        Row(f"rays that are {name}", int((status == code).sum()), "", "", len(status))
        for code, name in ((1, "unbounded"), (2, "not a number"), (3, "not closed"))
        if (status == code).any()
    ]
    if int(radii["num_scanned"]):
        found.append(
            Row("scanned rays with an earlier crossing", int(radii["num_earlier"]), "", "", int(radii["num_scanned"]))
        )
    passes = float(radii["num_evaluations"].mean())
    return [*found, Row("passes over the batches for a radius, mean", passes, "", "", len(status))]


def _volume(volume: xr.Dataset) -> list[Row]:
    num = int(volume["num_rays"])
    error = float(volume["mean_n_log_r_stderr"])
    bound = int(volume["status"]) == 1
    low, high = float(volume["log_volume_low"]), float(volume["log_volume_high"])
    spread = "a lower bound: too few effective rays" if bound else f"95 %: {low:.6g} to {high:.6g}"
    return [
        Row("mean of n·log r", float(volume["mean_n_log_r"]), f"± {error:.3g}", "nat", num),
        Row("log-volume", float(volume["log_volume"]), spread, "nat", num),
        Row("effective rays", float(volume["effective_rays"]), "", "", num),
    ]


def _curvature(found: xr.Dataset) -> list[Row]:
    unit = str(found["eigenvalue"].attrs["units"])
    lines = [
        Row(
            f"eigenvalue {int(rank)} of the Hessian",
            float(value),
            f"residual {float(residual):.2g}" + (", not converged" if int(status) else ""),
            unit,
            1,
        )
        for rank, value, residual, status in zip(
            found["rank"], found["eigenvalue"], found["residual"], found["status"], strict=True
        )
    ]
    if np.isfinite(found["trace"]):
        error = float(found["trace_stderr"])
        lines.append(Row("trace of the Hessian", float(found["trace"]), f"± {error:.2g}", unit, 1))
    return lines


def _sharpness(found: xr.Dataset, unit: str) -> list[Row]:
    rho = f"{float(found['rho']):g} {found['rho'].attrs['units']}"
    rises, average = found["rise"].values, float(found["average"])
    worst = f"a lower bound; ascents {rises.min():.3g} to {rises.max():.3g}"
    return [
        Row(f"sharpness, worst within {rho}", float(found["worst"]), worst, unit, len(rises)),
        Row(
            f"sharpness, mean at {rho}",
            average,
            f"± {float(found['average_stderr']):.2g}",
            unit,
            int(found["num_random"]),
        ),
    ]


def table(columns: Mapping[str, Sequence[Row]]) -> str:
    """Write the numbers of one or several networks as a table of plain text, a column a network."""
    names = list(dict.fromkeys(row.name for some in columns.values() for row in some))
    by_name = {label: {row.name: row for row in some} for label, some in columns.items()}
    lines = [["", *columns]]
    for name in names:
        known = [found[name] for found in by_name.values() if name in found]
        unit = f" [{known[0].unit}]" if known[0].unit else ""
        cells = []
        for found in by_name.values():
            row = found.get(name)
            cells.append("–" if row is None else f"{row.value:.4g}" + (f" ({row.spread})" if row.spread else ""))
        lines.append([name + unit, *cells])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
