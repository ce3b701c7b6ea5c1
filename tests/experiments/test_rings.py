from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basinscope.cli import main
from basinscope.data import rings
from basinscope.errors import InputError
from basinscope.experiments.rings import claims, collect
from basinscope.experiments.rings.config import PRESETS, Config
from basinscope.experiments.rings.tasks import ANGLES, NET, comparable_circles, shown_radii, stage_name, tightest_stage
from basinscope.losses import is_correct
from tests.stored import the_run

SMOKE = PRESETS["smoke"]


@pytest.fixture(scope="module")
def found(smoke: Path) -> collect.Measurements:
    return collect.collect(the_run(smoke, "rings"), SMOKE)


def test_the_network_is_the_published_one():
    assert NET.layout.num_parameters == 81_302


@pytest.mark.parametrize("preset", PRESETS)
def test_stages_close_the_gap_in_small_steps(preset):
    config = PRESETS[preset]
    stages = np.array(config.stages)
    assert stages[0] == config.gaps[0]
    assert stages[-1] == config.gaps[-1]
    ratios = stages[1:] / stages[:-1]
    assert (ratios >= config.circle_factor - 1e-12).all()
    assert (ratios < 1).all()
    if preset != "smoke":
        assert (ratios[:-1] <= 0.7 + 1e-12).all()
        assert config.gaps[0] == 0.3
        assert config.gaps[-1] == 0.001


def test_shares_are_those_of_the_stored_weights(smoke: Path, found: collect.Measurements):
    weights = the_run(smoke, "rings").weights("found-weights-gap0.3")
    nets = found.found[0]
    samples = rings.dense_rings(0.3, SMOKE.num_dense).to("cpu", torch.float32)
    for name in nets["net"].values:
        right = is_correct(NET.logits(weights[name][None], samples.inputs[None])[0], samples.labels).double()
        assert right[: SMOKE.num_dense].mean() == float(nets["blue_share"].sel(net=name))
        assert right[SMOKE.num_dense :].mean() == float(nets["red_share"].sel(net=name))


def test_a_wide_gap_gives_circles_even_in_smoke(found: collect.Measurements):
    assert found.circle_share(found.found[0]) == 1.0
    assert all(found.circle_share(nets) == 1.0 for nets in found.stages)
    assert found.compared_gap == SMOKE.gaps[-1]
    assert found.circles is not None
    assert (found.circles.clean_loss <= SMOKE.compared_loss).all()
    # A circle between two rings cannot keep more than half the gap, on the mean of both, to its points.
    assert (found.circles.margin <= found.compared_gap / 2 + 0.02).all()


def test_starts_are_shared_by_all_gaps(smoke: Path, tmp_path: Path):
    settings = ["--set", "rings.steps=1", "--set", "rings.learning_rate=1e-12", "--set", "rings.circle_steps=1"]
    assert main(["run", "rings", "--preset", "smoke", "--out", str(tmp_path), *settings]) == 0
    run = the_run(tmp_path, "rings")
    wide, tight = (run.weights(f"found-weights-gap{gap:g}") for gap in SMOKE.gaps)
    torch.testing.assert_close(wide["gap0.3-start1"], tight["gap0.05-start1"], rtol=0, atol=1e-6)
    measured = collect.collect(run, replace(SMOKE, steps=1, learning_rate=1e-12, circle_steps=1))
    assert measured.circles is None, "untrained nets are no circles"
    assert len(claims.claims(measured, "smoke")) == 6


def test_the_tightest_comparable_stage_is_chosen(smoke: Path, found: collect.Measurements):
    run = the_run(smoke, "rings")
    assert tightest_stage(run, SMOKE) == len(SMOKE.stages) - 1
    strict = replace(SMOKE, compared_loss=1e-12)
    assert tightest_stage(run, strict) == 0
    nets = run.dataset(stage_name(0))
    assert not comparable_circles(nets, strict).any()


def test_side_by_side_claims_compare_circles_with_the_others(found: collect.Measurements):
    def group(margin: float, size: float, curvature: float) -> collect.GapComparison:
        return collect.GapComparison(
            names=["a", "b"],
            margin=np.array([margin, margin]),
            smallest_margin=np.array([margin, margin]),
            clean_loss=np.array([1e-3, 2e-3]),
            size={"as trained": np.array([size, size]), "scaled": np.array([size, size])},
            mean_curvature={"as trained": np.array([curvature, curvature]), "scaled": np.array([curvature] * 2)},
        )

    rows = claims.claims(replace(found, circles=group(0.01, -30.0, 8.0), beside=group(0.04, -10.0, 2.0)), "smoke")
    measured = {row.claim.split(",")[0]: row for row in rows if "against nets" in row.claim}
    assert measured["margin around the inner points"].measured in (0.25,)
    assert measured["size of the basin"].measured == -20
    assert measured["mean curvature"].measured == 4
    assert all(row.holds for row in rows if "against nets" in row.claim and row.target)
    other_way = claims.claims(replace(found, circles=group(0.04, -10.0, 2.0), beside=group(0.01, -30.0, 8.0)), "smoke")
    judged = [row.holds for row in other_way if "against nets" in row.claim and row.target and "loss" not in row.claim]
    assert judged == [False] * 5


def test_the_unrolled_view_holds_both_rings_and_two_middle_points():
    for gap, tight in ((0.3, False), (0.001, False), (0.001, True)):
        low, high = shown_radii(gap, tight=tight)
        assert 0 < low < rings.INNER < rings.INNER + gap < high
    low, high = shown_radii(0.001, tight=True)
    assert high - low < 10 * 0.001, "the circle is seen to separate the rings"
    middle = rings.training_points(0.001).inputs[rings.NUM_INNER : rings.NUM_INNER + rings.NUM_MIDDLE]
    angle = torch.atan2(middle[:, 1], middle[:, 0]).rad2deg()
    assert ((angle > ANGLES[0]) & (angle < ANGLES[1])).sum() == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [("gaps", (0.1, 0.2)), ("gaps", (0.6, 0.1)), ("gaps", (0.3,)), ("data_seed", 3), ("circle_factor", 0.95)],
)
def test_values_out_of_range_are_refused(field, value):
    with pytest.raises(InputError, match=f"rings.{field}"):
        replace(Config(), **{field: value})
