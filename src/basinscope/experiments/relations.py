"""Generalisation gap against mean curvature and size of the basin: figure 5 and its claims.

The paper calls the mean curvature dᵀHd "sharpness"; here that word is reserved for the rise of the loss in a ball.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata

from basinscope.experiments.claims import Claim, span
from basinscope.plots.relation import plot_relation
from basinscope.plots.style import AS_TRAINED, SCALED, TWO_COLUMNS

COMPARED_LOSS = 0.01
"""Largest clean loss in nats of a compared network: a tenth of the cutoff."""


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's rank correlation of the finite pairs; NaN for fewer than three, or if one side is constant."""
    return float(_rank_correlations(one[None], other[None])[0])


def _rank_correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The same for each row of two arrays, vectorized."""
    both = np.isfinite(one) & np.isfinite(other)
    count = both.sum(axis=1, keepdims=True)
    # Excluded entries rank last, so that they change no other rank.
    ranks = [np.where(both, rankdata(np.where(both, side, np.inf), axis=1), 0) for side in (one, other)]
    first, second = (np.where(both, rank - rank.sum(1, keepdims=True) / np.maximum(1, count), 0) for rank in ranks)
    norm = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    defined = (count[:, 0] >= 3) & (norm > 0)
    return np.where(defined, (first * second).sum(1) / np.where(defined, norm, 1), np.nan)


@dataclass(frozen=True)
class Probed:
    """Radius, volume and mean curvature of every network, along `net`."""

    radius: xr.Dataset
    volume: xr.Dataset
    mean_curvature: xr.Dataset

    @property
    def median_radius(self) -> xr.DataArray:
        """Median radius of each network, in filter norms."""
        return self.radius["radius"].median("ray")


@dataclass(frozen=True)
class Relations:
    """Measurements around every network of an experiment, as trained and at a common clean loss."""

    nets: xr.Dataset
    """With `gap`, `poison` and `clean_loss` along `net`, poison factors ascending."""
    natural: Probed
    """As trained."""
    scaled: Probed
    """With last layers scaled to one clean loss."""
    scaled_loss: float
    """That loss, in nats."""
    num_directions: int
    enough_nets: int
    """Smallest number of networks at which a rank correlation is tested against its target."""

    def rank_with_gap(self, values: np.ndarray) -> float:
        """Spearman correlation of the generalisation gap with one value per network."""
        return rank_correlation(self.nets["gap"].values, values)

    @property
    def measured(self) -> np.ndarray:
        """Whether each network's basin could be measured, as trained and scaled."""
        parts = (self.natural.volume, self.scaled.volume)
        return np.all([np.isfinite(part["mean_n_log_r"].values) for part in parts], axis=0)

    def effective_rays(self, probed: Probed) -> float:
        """Effective sample size of the log-volume, median over the measured networks."""
        values = probed.volume["effective_rays"].values[self.measured]
        return float(np.median(values)) if len(values) else float("nan")

    def level(self, poison: float) -> xr.Dataset:
        """Select the networks of one poison factor."""
        return self.nets.isel(net=np.flatnonzero(self.nets["poison"].values == poison))

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Names of the networks with the smallest and with the largest poison factor."""
        poisons = self.nets["poison"].values
        good, bad = self.level(float(poisons.min())), self.level(float(poisons.max()))
        return good["net"].values, bad["net"].values


def relations_figure(found: Relations, data: str) -> Figure:
    """Draw figure 5: gap against mean curvature, top eigenvalue and basin size, as trained and at one clean loss.

    Args:
        found: Measurements of the run.
        data: Name of the data in the title.
    """
    figure, grid = plt.subplots(4, 2, figsize=(TWO_COLUMNS, 8.4), sharex=True, layout="constrained")
    rows = grid.T
    figure.suptitle(f"Figure 5 · Generalisation gap against mean curvature and size of the basin\n{data}")
    variants = (
        (found.natural, "as trained", AS_TRAINED),
        (found.scaled, f"last layers scaled to clean loss {found.scaled_loss:g}", SCALED),
    )
    for axes_row, (probed, words, colour) in zip(rows, variants, strict=True):
        bend, top, size, volume = axes_row
        curvature = probed.mean_curvature["mean_curvature"]
        size_values, bound = (probed.volume[name] / math.log(10) for name in ("mean_n_log_r", "log_volume"))
        panels: list[tuple[Axes, xr.DataArray, xr.DataArray | None, str]] = [
            (bend, curvature, probed.mean_curvature["mean_curvature_stderr"], "mean curvature dᵀHd [nat]"),
            (top, probed.mean_curvature["top_eigenvalue"], None, "top eigenvalue of DHD [nat]"),
            (size, size_values, None, "mean n·log₁₀ r\n[orders of magnitude]"),
            (volume, bound, None, "log₁₀ volume (lower bound)"),
        ]
        for axes, values, error, label in panels:
            if axes in (bend, top):
                axes.set_yscale("log")
            drawn = plot_relation(axes, found.nets["gap"], values, found.nets["poison"], colour=colour, error=error)
            axes.set_ylabel(label)
            correlation = found.rank_with_gap(values.values)
            rank = f"Spearman {correlation:+.2f}".replace("-", "−")
            if math.isnan(correlation):
                rank = f"Spearman: too few of {len(values)} networks"
            axes.set_title(f"{words}\n{rank}", fontsize=7)
            if axes is bend:
                _label(*drawn)
        volume.text(
            0.03,
            0.04,
            f"bound only: {found.effective_rays(probed):.1f} effective\nof {found.num_directions} rays (median)",
            transform=volume.transAxes,
            fontsize=6,
            color="#555555",
        )
    for axes in grid[:-1].flat:
        axes.set_xlabel("")
    figure.legend(*rows[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=1)
    return figure


def _label(band: Artist, line: Artist, dots: Artist) -> None:
    """Label the artists for the legend."""
    dots.set_label("one network; bar: standard error of the mean curvature, where visible")
    line.set_label("mean of a poison factor's runs (on log scales: geometric)")
    band.set_label("min–max of a poison factor's runs, drawn at their mean gap")


def relation_claims(found: Relations, claim: partial[Claim]) -> list[Claim]:
    """Evaluate the claims of figure 5 against the measurements."""
    num = found.nets.sizes["net"]
    losses = found.nets["clean_loss"].values
    measured = float(found.measured.mean())
    rows = [
        claim(
            claim="share of networks whose basin could be measured (their loss is below the cutoff)",
            target="== 1",
            measured=measured,
            unit="1",
            num=num,
            spread=(measured, measured),
        ),
        claim(
            claim="largest clean loss among the compared networks",
            target=f"<= {COMPARED_LOSS:g}",
            measured=float(losses.max()),
            unit="nat",
            num=num,
            spread=span(losses.tolist()),
        ),
        _rank_claim(found, claim, losses, "the loss left at the minimum, as trained"),
    ]
    for probed, words in (
        (found.natural, "as trained"),
        (found.scaled, f"last layers scaled to clean loss {found.scaled_loss:g}"),
    ):
        ranked = (
            (probed.mean_curvature["mean_curvature"], "mean curvature", ">= 0.9"),
            (probed.volume["mean_n_log_r"], "mean n·log r", "<= -0.9"),
            (probed.volume["log_volume"], "the log-volume bound", ""),
            (probed.mean_curvature["top_eigenvalue"], "top eigenvalue", ""),
        )
        rows += [
            *(_rank_claim(found, claim, v.values, f"{what}, {words}", target) for v, what, target in ranked),
            *_size_claims(found, claim, probed, words),
        ]
    rays = found.natural.radius
    scanned = float(rays["num_scanned"].sum())
    earlier = rays["num_earlier"].values / np.maximum(1, rays["num_scanned"].values)  # NaN where not measured
    rows.append(
        claim(
            claim="share of finely scanned rays with an earlier crossing that the search had skipped",
            measured=float(rays["num_earlier"].sum()) / max(1.0, scanned),
            unit="1",
            num=int(scanned),
            spread=span(earlier.tolist()),
        )
    )
    return rows


def _rank_claim(found: Relations, claim: partial[Claim], values: np.ndarray, what: str, target: str = "") -> Claim:
    """Spearman correlation of the gap with a variable; the spread is its 95 % bootstrap interval over networks."""
    gaps = found.nets["gap"].values
    stream = np.random.default_rng(0)
    drawn = stream.integers(len(gaps), size=(500, len(gaps)))
    resampled = _rank_correlations(gaps[drawn], values[drawn])
    defined = resampled[np.isfinite(resampled)]
    low, high = np.percentile(defined, [2.5, 97.5]) if len(defined) else (math.nan, math.nan)
    return claim(
        claim=f"rank correlation of the gap with {what} (spread: 95 % bootstrap interval)",
        target=target if len(gaps) >= found.enough_nets else "",
        measured=found.rank_with_gap(values),
        unit="1",
        num=len(gaps),
        spread=(float(low), float(high)),
    )


def _size_claims(found: Relations, claim: partial[Claim], probed: Probed, words: str) -> list[Claim]:
    """Claims on how much larger and flatter good basins are than bad ones."""
    good_nets, bad_nets = found.ends

    def ends(values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
        good, bad = (values.sel(net=nets).values for nets in (good_nets, bad_nets))
        return good[np.isfinite(good)], bad[np.isfinite(bad)]

    def orders(name: str) -> tuple[float, tuple[float, float]]:
        good, bad = ends(probed.volume[name] / math.log(10))
        if not (len(good) and len(bad)):
            return math.nan, (math.nan, math.nan)
        return float(good.mean() - bad.mean()), (float(good.min() - bad.max()), float(good.max() - bad.min()))

    def ratio(values: xr.DataArray, *, bad_by_good: bool) -> tuple[float, tuple[float, float]]:
        good, bad = ends(values)
        if not (len(good) and len(bad)):
            return math.nan, (math.nan, math.nan)
        above, below = (bad, good) if bad_by_good else (good, bad)
        extremes = (float(above.min() / below.max()), float(above.max() / below.min()))
        return float(np.median(above) / np.median(below)), extremes

    effective = probed.volume["effective_rays"].values[found.measured]
    difference, difference_span = orders("mean_n_log_r")
    bound, bound_span = orders("log_volume")
    wider, wider_span = ratio(probed.median_radius, bad_by_good=False)
    steeper, steeper_span = ratio(probed.mean_curvature["mean_curvature"], bad_by_good=True)
    both = len(good_nets) + len(bad_nets)
    return [
        claim(
            claim=f"good basins are larger than bad ones by thousands of orders of magnitude, mean n·log r, {words}",
            target=">= 1000",
            measured=difference,
            unit="orders of magnitude",
            num=both,
            spread=difference_span,
        ),
        claim(
            claim=f"the same by the paper's log-volume, a difference of lower bounds, {words}",
            measured=bound,
            unit="orders of magnitude",
            num=both,
            spread=bound_span,
        ),
        claim(
            claim=f"effective rays of the log-volume, median over networks, {words}",
            measured=found.effective_rays(probed),
            unit="rays",
            num=found.num_directions,
            spread=span(effective.tolist()),
        ),
        claim(
            claim=f"median radius, good divided by bad, {words}",
            measured=wider,
            unit="1",
            num=both,
            spread=wider_span,
        ),
        claim(
            claim=f"mean curvature, bad divided by good, {words}",
            measured=steeper,
            unit="1",
            num=both,
            spread=steeper_span,
        ),
    ]
