"""Ranks, sizes and figure 5, on numbers made up so that every answer is known."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from basinscope.experiments.claims import Claim
from basinscope.experiments.relations import (
    Probed,
    Relations,
    rank_correlation,
    relation_claims,
    relations_figure,
)
from basinscope.plots.style import styled

NETS = ["a", "b", "c", "d", "e", "f"]
POISONS = [0.0, 0.0, 0.1, 0.1, 1.0, 1.0]
GAPS = np.array([0.1, 0.15, 0.3, 0.35, 0.7, 0.8])
DECADE = math.log(10)


def _nets(values: Sequence[float] | np.ndarray) -> tuple[str, np.ndarray]:
    return "net", np.asarray(values, dtype=float)


def _scipys(one: np.ndarray, other: np.ndarray) -> float:
    found: Any = spearmanr(one, other)
    return float(found.statistic)


def _probed(log_r: np.ndarray, bound: np.ndarray, radius: np.ndarray, curvature: np.ndarray) -> Probed:
    """Sizes in orders of magnitude; three rays a network, the median in the middle."""
    rays = radius[:, None] * np.array([0.5, 1.0, 3.0])
    return Probed(
        radius=xr.Dataset(
            {"radius": (("net", "ray"), rays), "num_scanned": _nets([2] * 6), "num_earlier": _nets([0, 0, 0, 0, 1, 0])},
            {"net": NETS},
        ),
        volume=xr.Dataset(
            {
                "mean_n_log_r": _nets(log_r * DECADE),
                "log_volume": _nets(bound * DECADE),
                "effective_rays": _nets([1, 2, 3, 4, 5, 60]),
            },
            {"net": NETS},
        ),
        mean_curvature=xr.Dataset(
            {
                "mean_curvature": _nets(curvature),
                "mean_curvature_stderr": _nets(0.1 * curvature),
                "top_eigenvalue": _nets(curvature[::-1]),
            },
            {"net": NETS},
        ),
    )


@pytest.fixture
def found() -> Relations:
    """Good basins 5,000 orders of magnitude larger, four times as wide and 10,000 times as flat."""
    falling = np.array([0.0, -1000, -2000, -3000, -5000, -6000])
    natural = _probed(falling, falling / 2, np.array([0.4, 0.4, 0.2, 0.2, 0.1, 0.1]), 10.0 ** np.arange(6) / 100)
    nets = xr.Dataset(
        {"gap": _nets(GAPS), "poison": _nets(POISONS), "clean_loss": _nets([1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3])},
        {"net": NETS},
    )
    return Relations(
        nets=nets, natural=natural, scaled=natural, scaled_loss=1e-3, num_directions=3, enough_nets=len(NETS)
    )


def _rows(found: Relations) -> dict[str, Claim]:
    claim = partial(Claim, preset="smoke", data="made up", figure="5")
    return {row.claim: row for row in relation_claims(found, claim)}


def _row(found: Relations, words: str) -> Claim:
    """The claim, as trained, that begins with some words."""
    (row,) = (r for text, r in _rows(found).items() if text.startswith(words) and "as trained" in text)
    return row


def _without(found: Relations, *nets: str) -> Relations:
    """Some networks could not be measured."""
    lost = np.isin(NETS, nets)

    def blank(part: xr.Dataset) -> xr.Dataset:
        return part.where(xr.DataArray(~lost, dims="net"))

    natural = found.natural
    measured = Probed(blank(natural.radius), blank(natural.volume), blank(natural.mean_curvature))
    return replace(found, natural=measured, scaled=natural)


@pytest.mark.parametrize("seed", range(20))
def test_rank_correlation_is_scipys_on_the_finite_pairs(seed: int) -> None:
    stream = np.random.default_rng(seed)
    # Few different values, so that ranks are shared.
    one, other = stream.integers(5, size=12).astype(float), stream.normal(size=12).round(1)
    one[stream.integers(12)], other[stream.integers(12)] = np.nan, stream.choice([np.inf, -np.inf])
    finite = np.isfinite(one) & np.isfinite(other)
    assert rank_correlation(one, other) == pytest.approx(_scipys(one[finite], other[finite]), abs=1e-12)


def test_rank_correlation_knows_ranks_alone() -> None:
    assert rank_correlation(GAPS, np.exp(-GAPS)) == pytest.approx(-1)


def test_the_interval_of_a_rank_is_that_of_networks_drawn_again(found: Relations) -> None:
    values = np.array([3.0, 1.0, 2.0, 6.0, 5.0, 4.0])
    curvature = found.natural.mean_curvature.assign(mean_curvature=_nets(values))
    natural = replace(found.natural, mean_curvature=curvature)
    row = _row(replace(found, natural=natural), "rank correlation of the gap with mean curvature")
    stream = np.random.default_rng(0)
    picks = [pick for pick in stream.integers(6, size=(500, 6)) if len(set(pick.tolist())) > 1]
    again = [_scipys(GAPS[pick], values[pick]) for pick in picks]
    np.testing.assert_allclose(row.spread, np.percentile(again, [2.5, 97.5]))


@pytest.mark.parametrize(
    ("one", "other"), [([1, 2], [1, 2]), ([1, 2, np.nan], [1, 2, 3]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [4, 4, 4])]
)
def test_too_few_or_constant_values_have_no_rank_correlation(one: list[float], other: list[float]) -> None:
    assert math.isnan(rank_correlation(np.array(one, dtype=float), np.array(other, dtype=float)))


def test_ranks_are_judged_in_the_direction_that_the_paper_claims(found: Relations) -> None:
    words = "rank correlation of the gap with "
    for what, measured, holds in (
        ("mean curvature", 1, True),
        ("mean n·log r", -1, True),
        ("the log-volume bound", -1, None),
        ("top eigenvalue", -1, None),
    ):
        row = _row(found, f"{words}{what}, ")
        assert (row.measured, row.holds, row.num) == (pytest.approx(measured), holds, 6)
        low, high = row.spread
        assert -1 <= low <= high <= 1
    turned = replace(found, nets=found.nets.assign(gap=_nets(GAPS[::-1])))
    assert _row(turned, f"{words}mean curvature, ").holds is False
    assert _row(turned, f"{words}mean n·log r, ").holds is False


def test_a_rank_of_few_networks_is_reported_and_not_judged(found: Relations) -> None:
    rows = _rows(replace(found, enough_nets=7)).values()
    ranks = [row for row in rows if row.claim.startswith("rank correlation")]
    assert ranks
    assert all(row.holds is None and math.isfinite(row.measured) for row in ranks)


def test_sizes_compare_the_ends_and_leave_the_middle_out(found: Relations) -> None:
    assert [list(names) for names in found.ends] == [["a", "b"], ["e", "f"]]
    larger = _row(found, "good basins are larger than bad ones")
    assert larger.measured == pytest.approx(5000)
    assert larger.spread == pytest.approx((4000, 6000))
    assert larger.holds is True
    assert larger.num == 4
    bound = _row(found, "the same by the paper's log-volume")
    assert (bound.measured, bound.holds) == (pytest.approx(2500), None)
    wider = _row(found, "median radius, good divided by bad")
    assert wider.measured == pytest.approx(4)
    steeper = _row(found, "mean curvature, bad divided by good")
    assert steeper.measured == pytest.approx(550 / 0.055)
    assert steeper.spread == pytest.approx((100 / 0.1, 1000 / 0.01))


def test_basins_of_a_few_hundred_orders_are_not_thousands(found: Relations) -> None:
    volume = found.natural.volume
    smaller = volume.assign(mean_n_log_r=volume["mean_n_log_r"] / 10)
    row = _row(replace(found, natural=replace(found.natural, volume=smaller)), "good basins are larger")
    assert (row.measured, row.holds) == (pytest.approx(500), False)


def test_networks_that_could_not_be_measured_count_nowhere_but_in_their_share(found: Relations) -> None:
    fewer = _without(found, "b", "e")
    assert fewer.measured.tolist() == [True, False, True, True, False, True]
    share = next(row for text, row in _rows(fewer).items() if "could be measured" in text)
    assert (share.measured, share.holds) == (pytest.approx(4 / 6), False)
    larger = _row(fewer, "good basins are larger")
    assert larger.measured == pytest.approx(6000), "a against f"
    assert fewer.effective_rays(fewer.natural) == 3.5
    none = _without(found, "e", "f")
    for words in ("good basins are larger", "mean curvature, bad divided", "median radius"):
        assert math.isnan(_row(none, words).measured)
    assert _row(none, "good basins are larger").holds is False
    assert math.isnan(_without(found, *NETS).effective_rays(found.natural))


def test_a_loss_too_near_the_cutoff_is_told(found: Relations) -> None:
    def largest(relations: Relations) -> Claim:
        return next(row for text, row in _rows(relations).items() if text.startswith("largest clean loss"))

    assert (largest(found).measured, largest(found).holds) == (3e-3, True)
    losses = found.nets["clean_loss"].values.copy()
    losses[2] = 0.011
    assert largest(replace(found, nets=found.nets.assign(clean_loss=_nets(losses)))).holds is False


def test_earlier_crossings_are_a_share_of_the_rays_that_were_scanned(found: Relations) -> None:
    row = next(row for text, row in _rows(found).items() if "earlier crossing" in text)
    assert (row.measured, row.num) == (pytest.approx(1 / 12), 12)
    assert row.spread == (0.0, 0.5)


@pytest.fixture
def look() -> Iterator[None]:
    with styled():
        yield
    plt.close("all")


@pytest.mark.usefixtures("look")
def test_the_figure_shows_every_network_of_each_measure_where_it_lies(found: Relations) -> None:
    scaled = replace(found.natural, mean_curvature=found.natural.mean_curvature * 7)
    figure = relations_figure(replace(found, scaled=scaled), "made up data")
    assert "made up data" in figure.get_suptitle()
    assert len(figure.axes) == 8
    for probed, row, words in (
        (found.natural, figure.axes[::2], "as trained"),
        (scaled, figure.axes[1::2], "scaled to clean loss 0.001"),
    ):
        drawn = (
            probed.mean_curvature["mean_curvature"],
            probed.mean_curvature["top_eigenvalue"],
            probed.volume["mean_n_log_r"] / DECADE,
            probed.volume["log_volume"] / DECADE,
        )
        for axes, values, rank in zip(row, drawn, ("+1.00", "−1.00", "−1.00", "−1.00"), strict=True):
            offsets = np.asarray(axes.collections[-1].get_offsets())
            np.testing.assert_allclose(offsets, np.stack([GAPS, values.values], axis=1))
            assert words in axes.get_title()
            assert axes.get_title().endswith(f"Spearman {rank}")
            assert axes.get_ylabel()
        assert [axes.get_yscale() for axes in row] == ["log", "log", "linear", "linear"]
        assert "[nat]" in row[0].get_ylabel()
        assert "eigenvalue" in row[1].get_ylabel()
        assert "orders of magnitude" in row[2].get_ylabel()
        assert "3.5 effective\nof 3 rays" in row[3].texts[0].get_text()
    assert all("gap" in axes.get_xlabel() for axes in figure.axes[-2:])
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1


@pytest.mark.usefixtures("look")
def test_the_mean_curvature_shows_its_error(found: Relations) -> None:
    axes = relations_figure(found, "made up data").axes[0]
    (bars,) = axes.containers
    ends = np.array([segment[:, 1] for segment in bars[2][0].get_segments()])
    np.testing.assert_allclose(np.ptp(ends, axis=1), 2 * found.natural.mean_curvature["mean_curvature_stderr"])


@pytest.mark.usefixtures("look")
def test_the_figure_leaves_out_what_could_not_be_measured(found: Relations) -> None:
    figure = relations_figure(_without(found, "c"), "made up")
    assert [len(np.asarray(axes.collections[-1].get_offsets())) for axes in figure.axes] == [5, 6] * 4
    nothing = _without(found, *NETS)
    figure = relations_figure(replace(nothing, scaled=nothing.natural), "made up")
    figure.canvas.draw()
