"""Rows of a survey's summary: numbers from each kind of result, with uncertainty, unit and n."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from basinscope.landscape.protocol import DIFFERENCES


@dataclass(frozen=True)
class Row:
    """One row of a summary: a number."""

    name: str
    value: float
    spread: str
    """Its uncertainty as text; empty for an exact number."""
    unit: str
    num: int
    """Sample size: number of rays, vectors or ascents."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; a non-finite number becomes null."""
        return asdict(self) | {"value": self.value if math.isfinite(self.value) else None}


def _unit(found: xr.Dataset) -> str:
    return str(found.attrs.get("loss_unit", ""))


def stated_loss(found: xr.Dataset) -> float | None:
    """The network's own loss, if the result has it as a variable."""
    return float(found["center_loss"]) if "center_loss" in found else None


def loss_of_lines(found: xr.Dataset) -> float | None:
    """The network's own loss, from lines through it."""
    if 0 not in found["distance"].values:
        return None
    return float(found["loss"].isel(ray=0).sel(distance=0))


def loss_of_curve(found: xr.Dataset) -> float | None:
    """The network's own loss, at the start of a curve."""
    return float(found["loss"][0])


def no_loss(_: xr.Dataset) -> None:
    """Placeholder for results without the network's own loss."""


def no_rows(_: xr.Dataset) -> list[Row]:
    """Placeholder for results that are only drawn."""
    return []


def plane_rows(found: xr.Dataset) -> list[Row]:
    """Number of points of a plane with a non-finite loss."""
    loss = found["loss"].values
    missing = int((~np.isfinite(loss)).sum())
    return [Row("2-D slice: points with a non-finite loss", missing, "", "", loss.size)]


def path_rows(found: xr.Dataset) -> list[Row]:
    """Barrier on the straight line between two checkpoints, above the interpolation of their own losses."""
    share, loss = found["distance"].values, found["loss"].values[0]
    inside = (share >= 0) & (share <= 1)
    # Older results do not state the network's own loss.
    start, end = float(found.attrs.get("center_loss", np.interp(0.0, share, loss))), float(found.attrs["other_loss"])
    barrier = float((loss - (start + share * (end - start)))[inside].max())
    num = int(inside.sum())
    return [Row("barrier of the straight line", barrier, f"largest of {num} points", _unit(found), num)]


def curve_rows(found: xr.Dataset) -> list[Row]:
    """Barriers on the fitted curve and on the straight line between two checkpoints."""
    num = found.sizes["place"]
    points, straight = f"largest of {num} points", float(found["straight_barrier"])
    return [
        Row("barrier of the fitted curve", float(found["barrier"]), points, _unit(found), num),
        Row("barrier of the straight line, at the curve's points", straight, points, _unit(found), num),
        Row("distance to the other checkpoint", float(found["distance"]), "", "Euclidean length", 1),
    ]


def map_rows(found: xr.Dataset) -> list[Row]:
    """Share of the variance that the principal components explain."""
    explained = float(found["explained_variance"])
    return [Row("t-SNE: variance explained by the principal components", explained, "", "1", found.sizes["point"])]


def radius_rows(found: xr.Dataset) -> list[Row]:
    """Cutoff, median radius with quantiles, rays without a radius, and cost of the search."""
    radius, status = found["radius"].values, found["status"].values
    known = radius[np.isfinite(radius)]
    length = str(found["radius"].attrs["units"])
    rows = [Row("cutoff", float(found["cutoff"]), "", _unit(found), 1)]
    if len(known):
        low, high = np.quantile(known, [0.05, 0.95])
        spread = f"5 to 95 %: {low:.3g} to {high:.3g}"
        rows.append(Row("basin radius, median", float(np.median(known)), spread, length, len(known)))
    rows += [
        Row(f"rays that are {name}", int((status == code).sum()), "", "", len(status))
        for code, name in ((1, "unbounded"), (2, "not a number"), (3, "not closed"))
        if (status == code).any()
    ]
    if scanned := int(found["num_scanned"]):
        rows.append(Row("scanned rays with an earlier crossing", int(found["num_earlier"]), "", "", scanned))
    passes = float(found["num_evaluations"].mean())
    return [*rows, Row("passes over the batches per radius, mean", passes, "", "", len(status))]


def volume_rows(found: xr.Dataset) -> list[Row]:
    """Mean of n·log r, log-volume, and the effective number of rays behind it."""
    num = int(found["num_rays"])
    error = float(found["mean_n_log_r_stderr"])
    bound = int(found["status"]) == 1
    low, high = float(found["log_volume_low"]), float(found["log_volume_high"])
    spread = "a lower bound: too few effective rays" if bound else f"95 %: {low:.6g} to {high:.6g}"
    return [
        Row("mean of n·log r", float(found["mean_n_log_r"]), f"± {error:.3g}", "nat", num),
        Row("log-volume", float(found["log_volume"]), spread, "nat", num),
        Row("effective rays", float(found["effective_rays"]), "", "", num),
    ]


def curvature_rows(found: xr.Dataset) -> list[Row]:
    """Largest and smallest eigenvalues with residuals, trace with standard error, and how products were computed."""
    unit, products = str(found["eigenvalue"].attrs["units"]), str(found.attrs.get("products", ""))
    matrix = "operator" if products == "operator" else "Hessian"
    failures = {1: ", not converged", 2: ", a farther one may be skipped"}
    rows = [
        Row(
            f"{prefix.replace('_', ' ')}eigenvalue {int(rank)} of the {matrix}",
            float(value),
            f"residual {float(residual):.2g}{failures.get(int(status), '')}",
            unit,
            1,
        )
        for prefix in ("", "smallest_")
        if f"{prefix}eigenvalue" in found
        for rank, value, residual, status in zip(
            *(found[prefix + name] for name in ("rank", "eigenvalue", "residual", "status")), strict=True
        )
    ]
    if np.isfinite(found["trace"]):
        error = float(found["trace_stderr"])
        rows.append(Row(f"trace of the {matrix}", float(found["trace"]), f"± {error:.2g}", unit, 1))
    # Results of earlier releases do not say how products were computed.
    return rows + [Row(f"products with the {matrix}", int(found["num_products"]), products, "", 1)] * bool(products)


def mean_curvature_rows(found: xr.Dataset) -> list[Row]:
    """Mean curvature along random directions, and the largest eigenvalue under the same scaling."""
    how = f"; by {DIFFERENCES}" if found.attrs.get("products") == DIFFERENCES else ""
    unit, num = str(found["mean_curvature"].attrs["units"]), found.sizes["ray"]
    error = float(found["mean_curvature_stderr"])
    return [
        Row("mean curvature along random directions", float(found["mean_curvature"]), f"± {error:.2g}{how}", unit, num),
        Row("largest eigenvalue, filters scaled to norm 1", float(found["top_eigenvalue"]), "", unit, 1),
    ]


def sharpness_rows(found: xr.Dataset) -> list[Row]:
    """Largest rise within the ball (a lower bound), and mean rise on its surface."""
    rho = f"{float(found['rho']):g} {found['rho'].attrs['units']}"
    rises, average = found["rise"].values, float(found["average"])
    worst = f"a lower bound; ascents {rises.min():.3g} to {rises.max():.3g}"
    error = f"± {float(found['average_stderr']):.2g}"
    return [
        Row(f"sharpness, worst within {rho}", float(found["worst"]), worst, _unit(found), len(rises)),
        Row(f"sharpness, mean at {rho}", average, error, _unit(found), int(found["num_random"])),
    ]
