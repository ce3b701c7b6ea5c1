from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from basinscope.cli import main
from basinscope.data import spirals
from basinscope.errors import InputError
from basinscope.experiments.minefield import claims, collect
from basinscope.experiments.minefield.config import PRESETS, Config
from basinscope.experiments.minefield.tasks import NET, NORMALIZATION, _end, bad_weights
from basinscope.probes.accuracy import accuracy
from tests.stored import the_run

SMOKE = PRESETS["smoke"]


@pytest.fixture(scope="module")
def found(smoke: Path) -> collect.Measurements:
    return collect.collect(the_run(smoke, "minefield"), SMOKE)


def test_the_network_is_the_published_one():
    assert NET.layout.num_parameters == 2051


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_two_hundred_iterates_are_kept(preset):
    config = PRESETS[preset]
    assert len(config.recorded_epochs) == 200
    assert config.recorded_epochs[-1] == 1991
    assert config.ending_epochs[0] == 1900
    assert config.ending_epochs[-1] == 2000
    assert len(set(config.start_epochs)) == config.bad_starts
    assert set(config.start_epochs) <= set(config.recorded_epochs)


def test_the_stored_path_is_that_of_the_stored_weights(smoke: Path, found: collect.Measurements):
    iterates, split = the_run(smoke, "minefield").weights("iterates"), spirals.split()
    epochs = found.path["epoch"].values.tolist()
    assert epochs[:2] == [1, 11]
    points = torch.stack([iterates[f"epoch{epoch}"] for epoch in epochs])
    np.testing.assert_array_equal(found.path["test_accuracy"], accuracy(NET, points, split.test))
    weights = NORMALIZATION.moved(points)
    np.testing.assert_allclose(found.path["norm"], weights.norm(dim=1), rtol=1e-6)
    np.testing.assert_allclose(found.travelled[-1], (weights[-1] - weights[0]).norm() / weights[0].norm(), rtol=1e-5)


def test_distances_of_bad_minima_are_those_of_the_stored_weights(smoke: Path, found: collect.Measurements):
    run = the_run(smoke, "minefield")
    iterates, minima = run.weights("iterates"), bad_weights(run, found.config)
    for net, epoch, distance in zip(
        found.bad["net"].values, found.bad["start_epoch"].values, found.bad["distance"].values, strict=True
    ):
        begun, ended = (NORMALIZATION.moved(p[None])[0] for p in (iterates[f"epoch{epoch}"], minima[net]))
        assert distance == pytest.approx(float((ended - begun).norm() / begun.norm()), rel=1e-5)


def test_the_run_ends_at_the_first_epoch_that_fits_the_training_set():
    split = spirals.split()
    # The log-odds of a constant are right on exactly one class; no real net is needed to place the end.
    points = torch.zeros(4, NET.layout.num_parameters)
    assert _end(points, split.train) == 3, "none fits: the last"
    one_class = type(split.train)(split.train.inputs, torch.zeros_like(split.train.labels))
    assert _end(points, one_class) == 0
    points[0, -1] = 1.0
    assert _end(points, one_class) == 1


def _with_bad(found: collect.Measurements, train, test, distance) -> collect.Measurements:
    bad = found.bad.copy()
    for name, values in (("train_accuracy", train), ("test_accuracy", test), ("distance", distance)):
        bad[name] = ("net", np.array(values))
    return replace(found, bad=bad)


def test_only_what_fits_and_fails_counts_and_failures_are_named(found: collect.Measurements):
    changed = _with_bad(found, [1.0, 0.98, 0.995, 1.0], [0.4, 0.4, 0.53, 0.52], [3.0, 9.0, 9.0, 1.0])
    rows = claims.claims(changed, "smoke")
    count, failed = rows[0], rows[1]
    assert (count.measured, count.num, count.holds) == (2, 4, True)
    second, third = found.bad["start_epoch"].values[[1, 2]]
    assert failed.measured == 2
    assert f"epochs {second}, {third}" in failed.claim
    median = next(row for row in rows if "in norms of the start, median" in row.claim)
    assert median.measured == 2.0
    assert median.spread == (1.0, 3.0)


def test_nearby_is_judged_by_what_the_good_run_travels(found: collect.Measurements):
    norm = float(found.path["norm"][0])
    path = found.path.assign(
        norm=("epoch", np.full(found.path.sizes["epoch"], norm)),
        travelled=("epoch", np.linspace(0, 2 * norm, found.path.sizes["epoch"])),
    )
    changed = replace(_with_bad(found, [1.0] * 4, [0.4] * 4, [3.0] * 4), path=path)
    row = next(row for row in claims.claims(changed, "smoke") if "nearby" in row.claim)
    assert row.measured == pytest.approx(1.5)
    assert row.holds is False


def test_a_run_that_leaves_one_training_point_wrong_has_not_reached_a_good_minimum(found: collect.Measurements):
    assert found.others is not None
    others = found.others.copy()
    others["train_accuracy"] = ("net", [1.0, 1.0, 131 / 132, 1.0])
    others["dense_accuracy"] = ("net", [0.99, 0.5, 0.99, 0.99])
    path = found.path.assign(
        {name: ("epoch", np.ones(found.path.sizes["epoch"])) for name in ("train_accuracy", "dense_accuracy")}
    )
    changed = replace(found, others=others, path=path)
    assert changed.reach_good(same_split=True).tolist() == [True, True, False]
    assert changed.reach_good(same_split=False).tolist() == [True, True, False, False, True]


def test_other_runs_start_and_split_differently(found: collect.Measurements):
    assert found.others is not None
    assert found.others["split"].values[:2].tolist() == [-1, -1]
    assert len(set(found.others["split"].values[2:].tolist())) == 2
    assert len(found.good_runs("test_accuracy", same_split=True)) == 3
    assert len(found.good_runs("test_accuracy", same_split=False)) == 5


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("bad_starts", 201, "only 200 iterates"),
        ("final_epochs", 3000, "at most epochs"),
        ("clip", -1.0, "above 0"),
        ("data_seed", -1, "between 0"),
    ],
)
def test_values_out_of_range_are_refused(field, value, says):
    with pytest.raises(InputError, match=f"minefield.{field}.*{says}"):
        replace(Config(), **{field: value})


def test_a_good_run_that_diverges_is_named_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["run", "minefield", "--preset", "smoke", "--out", str(tmp_path), "--set", "minefield.learning_rate=1e30"]
    assert main(words) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "training diverged: good run, start 0 at step" in error


def test_published_unseen_points_and_rmsprop_run(tmp_path: Path):
    words = ["run", "minefield", "--preset", "smoke", "--out", str(tmp_path)]
    changes = {
        "epochs": "12",
        "final_epochs": "2",
        "bad_starts": "2",
        "other_starts": "0",
        "other_splits": "0",
        "unseen": "published",
        "bad_optimizer": "rmsprop",
        "record_every": "3",
    }
    settings = [word for field, text in changes.items() for word in ("--set", f"minefield.{field}={text}")]
    assert main([*words, *settings]) == 0
    run = the_run(tmp_path, "minefield")
    for share in range(2):
        assert run.dataset(f"bad{share}")["steps"].values.tolist() == [300]
