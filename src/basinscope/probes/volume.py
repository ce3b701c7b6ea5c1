"""The paper's log-volume of a basin, with diagnostics of its reliability."""

from __future__ import annotations

import math

import numpy as np
import xarray as xr
from scipy.special import gammaln, logsumexp

from basinscope.errors import InputError, with_article
from basinscope.probes.radius import BELOW, OK, UNBOUNDED
from basinscope.results.convert import dataset

ENOUGH_RAYS = 100.0
"""Effective rays below which the log-volume is reported as a lower bound."""
Z95 = 1.959964


def log_unit_ball(n: int) -> float:
    """Log volume in nats of the unit ball in n dimensions: (n/2) log π − log Γ(n/2 + 1)."""
    return 0.5 * n * math.log(math.pi) - float(gammaln(0.5 * n + 1))


def log_volume(radii: xr.Dataset) -> xr.Dataset:
    """Estimate the volume of a basin from its radii, with diagnostics of its reliability.

    Formula: log ω_n + log E[rⁿ] by log-mean-exp over the rays, n the number of moved entries. In high dimension the
    largest ray dominates this mean: with few effective rays it is a lower bound without an interval. The mean of
    n·log r, also returned, has less variance; it is a different quantity, at most log E[rⁿ] (Jensen), to which the
    log-volume adds log ω_n. The constant of the product of spheres is omitted: only networks of one architecture are
    comparable.

    Args:
        radii: A `radius` dataset.

    Returns:
        A `volume` dataset. `status` is `estimate` or `lower_bound` (fewer than 100 effective rays, or a ray
        without a crossing); the interval comes from the delta method on log E[rⁿ].

    Raises:
        InputError: Fewer than two rays have a radius, directions are not random, or the dataset is not of radii.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 5.

    Example:
        All radii 2 in n dimensions: log ω_n + n·log 2, and as many effective rays as rays.
    """
    if radii.attrs.get("kind") not in (None, "radius"):
        kind = with_article(str(radii.attrs["kind"]))
        raise InputError(f"log_volume: pass a radius dataset, as basin_radius returns it, not {kind}")
    if radii.attrs.get("directions") == "given":
        raise InputError("log_volume: the radii are those of your own directions: a volume needs random ones")
    n = int(radii["num_moved"])
    status = radii["status"].values
    counted = (status == OK) | (status == UNBOUNDED) | (status == BELOW)
    radius = radii["radius"].values[counted]
    num = len(radius)
    if num < 2:
        raise InputError(f"log_volume: {num} of {len(status)} rays have a radius: at least 2 are needed")
    log_weights = n * np.log(radius)
    log_sum = np.asarray(logsumexp(log_weights)).item()
    log_mean = log_sum - math.log(num)
    shares = np.exp(log_weights - log_sum)
    effective = 1.0 / float(np.sum(shares**2))
    num_unbounded = int((status == UNBOUNDED).sum())
    bound = effective < ENOUGH_RAYS or num_unbounded > 0 or num < len(status)
    log_total = log_unit_ball(n) + log_mean
    # Standard error of log of a mean: the coefficient of variation of the weights over √num.
    stderr = math.sqrt(max(0.0, num / effective - 1) / (num - 1))
    half = math.nan if bound else Z95 * stderr
    result = dataset(
        "volume",
        {
            "log_volume": log_total,
            "log_volume_low": log_total - half,
            "log_volume_high": log_total + half,
            "mean_n_log_r": float(log_weights.mean()),
            "mean_n_log_r_stderr": float(log_weights.std(ddof=1)) / math.sqrt(num),
            "effective_rays": effective,
            "largest_share": float(shares.max()),
            "num_rays": num,
            "num_unbounded": num_unbounded,
            "status": np.asarray(bound, dtype=np.int8),
        },
    )
    # Keep the network and the directions as attributes.
    result.attrs = {**radii.attrs, **result.attrs}
    return result
