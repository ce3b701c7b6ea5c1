"""The paper's claims about the swiss roll, each beside the number that a run measured."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import xarray as xr

from basinscope.experiments.claims import Claim, span
from basinscope.experiments.swissroll.collect import Measurements, Probed, rank_correlation
from basinscope.experiments.swissroll.figures import BOUNDARIES, RELATIONS, SURFACES
from basinscope.experiments.swissroll.tasks import FITTED, PANEL_GAPS

COMPARED_LOSS = 0.01
"""Largest clean loss in nats of a network that may be compared: ten times below the cutoff."""
ABOVE_SHARE = 0.9
ENOUGH_NETS = 10
"""Networks below which a rank correlation is reported but not judged."""


def claims(found: Measurements, preset: str) -> list[Claim]:
    """Hold every claim against what was measured."""
    figures = ((SURFACES, _figure3), (RELATIONS, _figure5), (BOUNDARIES, _figure6))
    return [
        claim
        for stem, judge in figures
        for claim in judge(found, partial(Claim, figure=stem, preset=preset, data=found.config.data))
    ]


def _figure3(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    config = found.config
    rows = []
    for net, poison, role in (
        (found.good, config.poisons[0], "good net (run 0, natural)"),
        (found.bad, config.poisons[-1], f"bad net (run 0, β = {config.poisons[-1]:g})"),
    ):
        level = found.level(poison)
        target = f">= {config.good_target:g}" if net == found.good else f"<= {config.bad_target:g}"
        both = (
            ("train_accuracy", "accuracy on the training set", 1.0, "== 1"),
            ("dense_accuracy", "accuracy on the dense test set", 1.0 if net == found.good else 0.07, target),
        )
        for name, words, published, wanted in both:
            rows.append(
                claim(
                    claim=f"{role}: {words}",
                    published=published,
                    target=wanted,
                    measured=found.of(name, net),
                    unit="1",
                    num=config.runs,
                    spread=span(level[name].values.tolist()),
                )
            )
    good, bad = (found.wide["loss"].sel(net=net).values for net in (found.good, found.bad))
    low_inside = ~(good > config.cutoff)
    share = float((bad[low_inside] > config.cutoff).mean()) if low_inside.any() else math.nan
    rows.append(
        claim(
            claim="2-D slice: share of the points below the cutoff for the good net at which the bad net exceeds it",
            target=f">= {ABOVE_SHARE:g}",
            measured=share,
            unit="1",
            num=int(low_inside.sum()),
            spread=(share, share),
        )
    )
    return rows


def _figure5(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    num = found.nets.sizes["net"]
    losses = found.nets["clean_loss"].values
    measured = float(found.measured.mean())
    rows = [
        claim(
            claim="share of the networks whose basin could be measured: their loss lies below the cutoff",
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
        (found.scaled, f"last layers scaled to clean loss {found.config.scaled_loss:g}"),
    ):
        ranked = (
            (probed.sharpness["sharpness"], "sharpness", ">= 0.9"),
            (probed.volume["mean_n_log_r"], "mean n·log r", "<= -0.9"),
            (probed.volume["log_volume"], "the log-volume bound", ""),
            (probed.sharpness["top_eigenvalue"], "top eigenvalue", ""),
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
            claim="share of finely scanned rays on which an earlier crossing had been stepped over",
            measured=float(rays["num_earlier"].sum()) / max(1.0, scanned),
            unit="1",
            num=int(scanned),
            spread=span(earlier.tolist()),
        )
    )
    return rows


def _rank_claim(found: Measurements, claim: partial[Claim], values: np.ndarray, what: str, target: str = "") -> Claim:
    """Spearman correlation of the gap with a number; the spread is its 95 % bootstrap interval over networks."""
    gaps = found.nets["gap"].values
    stream = np.random.default_rng(0)
    drawn = stream.integers(len(gaps), size=(500, len(gaps)))
    again = [rank_correlation(gaps[pick], values[pick]) for pick in drawn]
    defined = [value for value in again if not math.isnan(value)]
    low, high = np.percentile(defined, [2.5, 97.5]) if defined else (math.nan, math.nan)
    return claim(
        claim=f"rank correlation of the gap with {what} (spread: 95 % bootstrap interval)",
        target=target if len(gaps) >= ENOUGH_NETS else "",
        measured=found.rank_with_gap(values),
        unit="1",
        num=len(gaps),
        spread=(float(low), float(high)),
    )


def _size_claims(found: Measurements, claim: partial[Claim], probed: Probed, words: str) -> list[Claim]:
    """How much larger and flatter good basins are than bad ones."""
    config = found.config
    good_nets, bad_nets = (found.level(p)["net"].values for p in (config.poisons[0], config.poisons[-1]))

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
    steady, steady_span = orders("mean_n_log_r")
    bound, bound_span = orders("log_volume")
    wider, wider_span = ratio(probed.median_radius, bad_by_good=False)
    sharper, sharper_span = ratio(probed.sharpness["sharpness"], bad_by_good=True)
    both = len(good_nets) + len(bad_nets)
    return [
        claim(
            claim=f"good basins are larger than bad ones by thousands of orders of magnitude, mean n·log r, {words}",
            target=">= 1000",
            measured=steady,
            unit="orders of magnitude",
            num=both,
            spread=steady_span,
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
            num=config.num_directions,
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
            claim=f"sharpness, bad divided by good, {words}",
            measured=sharper,
            unit="1",
            num=both,
            spread=sharper_span,
        ),
    ]


def _figure6(found: Measurements, claim: partial[Claim]) -> list[Claim]:
    panels = found.nets.sel(net=found.panels)
    train, gaps = panels["train_accuracy"].values, panels["gap"].values
    offs = np.abs(gaps - np.array(PANEL_GAPS[: len(gaps)]))
    return [
        claim(
            claim="lowest training accuracy among the panels: all fit the training set",
            target=f">= {FITTED:g}",
            measured=float(train.min()) if len(train) == len(PANEL_GAPS) else math.nan,
            unit="1",
            num=len(train),
            spread=span(train.tolist()),
        ),
        claim(
            claim="largest distance of a panel's gap from the one it stands for",
            measured=span(offs.tolist())[1],
            unit="1",
            num=len(gaps),
            spread=span(offs.tolist()),
        ),
    ]
