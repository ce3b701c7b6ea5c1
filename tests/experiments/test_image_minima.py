import json
import math
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from mpl_toolkits.mplot3d import Axes3D
from torch import nn

from basinscope.cli import main
from basinscope.data.images import ImageTask
from basinscope.errors import InputError
from basinscope.experiments import imaging, registry
from basinscope.experiments.image_minima import claims, figures
from basinscope.experiments.image_minima.collect import Measurements, collect
from basinscope.experiments.image_minima.config import PRESETS, Config
from basinscope.experiments.image_minima.tasks import _directions
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import StreamedLoss
from basinscope.plots.style import styled
from basinscope.probes.radius import basin_radius
from basinscope.training import single
from tests.images import flat_loss, flat_parameters, layout_of
from tests.stored import assert_same_arrays, the_run

RUN = ["run", "image_minima", "--preset", "smoke", "--out"]
NETS = ["beta0-run0", "beta1-run0"]


@pytest.fixture(scope="module")
def config(smoke: Path) -> Config:
    """Of the stored run, with name and checksum of its images."""
    record = the_run(smoke, "image_minima").read_json("config.json")
    assert record is not None
    return registry.restore(registry.load_experiment("image_minima"), record["config"])


@pytest.fixture(scope="module")
def found(smoke: Path, config: Config) -> Measurements:
    return collect(the_run(smoke, "image_minima"), config)


@pytest.fixture(scope="module")
def task(config: Config) -> ImageTask:
    return imaging._load("svhn", config, None)


def _net(smoke: Path, config: Config, task: ImageTask, name: str) -> nn.Module:
    net = imaging.build_net(config.net, config.width, task)
    net.load_state_dict(the_run(smoke, "image_minima").weights(f"weights-{name}"))
    return net.eval()


@pytest.mark.parametrize("name", NETS)
@torch.no_grad()
def test_claimed_loss_and_accuracy_are_those_of_the_stored_weights(
    smoke: Path, config: Config, task: ImageTask, found: Measurements, name: str
) -> None:
    net = _net(smoke, config, task, name)
    for images, what in ((task.train, "train_accuracy"), (task.test, "test_accuracy")):
        hits = net(images.inputs()).argmax(1) == images.labels
        assert found.of(what, name) == pytest.approx(float(hits.double().mean()), abs=1e-12)
    loss = float(flat_loss(net, task.train, flat_parameters(net)))
    assert found.of("clean_loss", name) == pytest.approx(loss, rel=1e-4)
    rows = {row.claim: row for row in claims.claims(found, "smoke")}
    row = rows["good net (run 0, ordinary training): accuracy on the test images"]
    assert row.measured == found.of("test_accuracy", NETS[0])
    assert rows["bad net (run 0, β = 1): accuracy on the test images"].measured == found.of("test_accuracy", NETS[1])


@pytest.mark.parametrize("name", NETS)
def test_slices_and_lines_through_the_minimum_show_the_stored_loss(found: Measurements, name: str) -> None:
    expected = found.of("clean_loss", name)
    middles = (
        found.slices["loss"].sel(net=name, distance=0),
        found.surfaces["loss"].sel(net=name, first=0, second=0),
        found.lines["loss"].sel(net=name, distance=0),
        found.relations.natural.radius["center_loss"].sel(net=name),
    )
    for middle in middles:
        np.testing.assert_allclose(middle, expected, rtol=1e-3)
    assert abs(float(found.surfaces["cosine"].sel(net=name))) < 1e-5


def test_scaled_networks_share_one_clean_loss(found: Measurements) -> None:
    center = found.relations.scaled.radius["center_loss"]
    np.testing.assert_allclose(center, found.config.scaled_loss, rtol=1e-3)
    natural = found.relations.natural.radius["center_loss"]
    assert np.abs(natural / found.config.scaled_loss - 1).min() > 0.1, "scaling did something"


def test_both_nets_are_measured_along_the_same_directions(smoke: Path, config: Config, found: Measurements) -> None:
    run = the_run(smoke, "image_minima")
    seeds = {run.dataset(f"radius-{net}-{share}").attrs["seed"] for net in NETS for share in (0, 1)}
    assert seeds == {str(_directions(config))} == {run.dataset(f"lines-{net}").attrs["seed"] for net in NETS}
    assert found.relations.natural.radius["ray"].values.tolist() == list(range(config.num_directions))


@pytest.mark.parametrize("name", NETS)
def test_shares_of_directions_joined_are_the_directions_measured_in_one_piece(
    smoke: Path, config: Config, task: ImageTask, found: Measurements, name: str
) -> None:
    assert len(config.shares()) > 1
    landscape = StreamedLoss(_net(smoke, config, task, name), task.train, batch_size=config.evaluated_together)
    whole = basin_radius(
        landscape.around(),
        seed=_directions(config),
        indices=range(config.num_directions),
        cutoff=config.cutoff,
        tolerance=config.tolerance,
        progress=False,
    )
    joined = found.relations.natural.radius.sel(net=name)
    np.testing.assert_allclose(joined["radius"], whole["radius"], rtol=config.tolerance)
    assert (joined["status"].values == whole["status"].values).all()
    assert float(joined["num_scanned"]) == config.num_scanned


@pytest.mark.parametrize("name", NETS)
def test_every_bracket_holds_a_crossing_of_the_plain_loss(
    smoke: Path, config: Config, task: ImageTask, found: Measurements, name: str
) -> None:
    net = _net(smoke, config, task, name)
    center, normalization = flat_parameters(net), Normalization(layout_of(net))
    rays = found.relations.natural.radius.sel(net=name)
    for index in range(config.num_directions):
        direction = Ray(normalization, _directions(config), index).direction(center)
        ray = rays.sel(ray=index)
        with torch.no_grad():
            below, beyond = (
                float(flat_loss(net, task.train, center + float(ray[end]) * direction)) for end in ("lower", "upper")
            )
        assert below <= config.cutoff * 1.0001
        assert beyond >= config.cutoff * 0.9999
        assert float(ray["upper"] / ray["lower"]) <= 1 + config.tolerance + 1e-9


def test_shares_cover_every_direction_once() -> None:
    for config in (*PRESETS.values(), replace(Config(), num_directions=7, num_curvature=2, num_trace=2)):
        shares = config.shares()
        assert [index for share in shares for index in share] == list(range(config.num_directions))
        assert max(map(len, shares)) <= config.directions_per_task


def test_networks_that_did_not_fit_are_marked_and_the_run_goes_on(tmp_path: Path) -> None:
    few = ["epochs=0.3", "poisoned_epochs=0.3", "settle_loss=99", "slice_resolution=3", "line_resolution=3"]
    settings = [word for setting in few for word in ("--set", f"image_minima.{setting}")]
    assert main([*RUN, str(tmp_path), *settings]) == 0
    run = the_run(tmp_path, "image_minima")
    for name in ("radius-beta0-run0-0", "radius-beta1-run0-scaled-1"):
        radius = run.dataset(name)
        assert (radius["status"] == -1).all()
        assert np.isnan(radius["radius"]).all()
        assert radius["ray"].values.tolist() == ([0, 1] if name.endswith("0") else [2, 3])
    assert np.isnan(run.dataset("mean_curvature-beta1-run0")["mean_curvature"])
    rows = json.loads((tmp_path / "image_minima" / "claims.json").read_text(encoding="utf-8"))
    (share,) = (row for row in rows if "could be measured" in row["claim"])
    assert (share["measured"], share["holds"]) == (0, False)
    assert all(row["holds"] is False for row in rows if row["measured"] is None and row["target"])


def test_divergence_names_network_and_update_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--set", "image_minima.learning_rate=1e30", "--set", "image_minima.warmup=0"]
    assert main([*RUN, str(tmp_path), *settings]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("basinscope: beta0-run0: the loss is not finite at update ")
    assert error.endswith("lower the learning rate and run again")


def test_interrupted_within_training_and_run_again_gives_the_same_arrays(
    smoke: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    updates: list[int] = []
    update = single.SingleTrainer._update

    def counted(trainer: single.SingleTrainer, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        update(trainer, inputs, labels)
        updates.append(trainer.step)
        if len(updates) == stop_after:
            signal.raise_signal(signal.SIGINT)

    smoke_config = PRESETS["smoke"]
    assert smoke_config.num_train is not None
    natural = round(smoke_config.epochs * math.ceil(smoke_config.num_train / smoke_config.batch_size))
    # In the middle of an epoch of the second network, each update of which is kept.
    stop_after = natural + 20
    monkeypatch.setattr(single.SingleTrainer, "_update", counted)
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", -1.0)
    assert main([*RUN, str(tmp_path)]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("basinscope: stopped; finished work is saved")
    assert [marker["task"] for marker in the_run(tmp_path, "image_minima").markers()] == ["train-beta0-run0"]
    monkeypatch.setattr(single, "CHECKPOINT_SECONDS", 20.0)
    assert main([*RUN, str(tmp_path)]) == 0
    # The update that was broken off before it was kept is made again, no other.
    assert updates[:natural] == list(range(1, natural + 1))
    assert updates[natural : natural + 22] == [*range(1, 21), 20, 21]
    assert_same_arrays(smoke, tmp_path, "image_minima")


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("net", "resnet9", "image_minima.net = 'resnet9': choose from resnet8"),
        ("width", "0", "image_minima.width = 0.0: must be above 0"),
        ("poisons", "0,1,0.5", "image_minima.poisons = (0.0, 1.0, 0.5): must rise from 0"),
        ("poisons", "0.1,1", "must rise from 0"),
        ("poisons", "0", "with at least two factors"),
        ("num_curvature", "5", "image_minima.num_curvature = 5: must be at most 4"),
        ("num_trace", "3", "image_minima.num_trace = 3: must be at most 2"),
        ("scaled_loss", "0.1", "image_minima.scaled_loss = 0.1: must be below the cutoff 0.1"),
        ("settle_ratio", "0", "image_minima.settle_ratio = 0.0: must be above 0"),
        ("warmup", "1", "image_minima.warmup = 1.0: must be at least 0 and below 1"),
        ("decay", "slow", "image_minima.decay = 'slow': choose from cosine"),
        ("source", "moon", "image_minima.source = 'moon': choose from scattered-digits, files"),
        ("canvas", "5", "canvas = 5"),
        ("runs", "0", "image_minima.runs = 0: must be at least 1"),
    ],
)
def test_a_wrong_field_gets_one_line(field: str, text: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "image_minima", "--preset", "smoke", "--set", f"image_minima.{field}={text}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def test_an_infinite_cutoff_is_refused() -> None:
    with pytest.raises(InputError, match=r"image_minima\.cutoff = inf: must be finite"):
        replace(Config(), cutoff=math.inf)


@pytest.fixture
def look() -> Iterator[None]:
    with styled():
        yield
    plt.close("all")


@pytest.mark.usefixtures("look")
def test_figure_4_compares_on_one_scale_and_draws_what_is_stored(found: Measurements) -> None:
    figure = figures._figure4(found)
    lines, surfaces = figure.axes[::2], [axes for axes in figure.axes if isinstance(axes, Axes3D)]
    assert lines[0].get_ylim() == lines[1].get_ylim()
    assert lines[0].get_xlim() == lines[1].get_xlim()
    assert surfaces[0].get_zlim() == surfaces[1].get_zlim()
    for axes, above, net, words in zip(lines, surfaces, NETS, ("ordinary training", "β = 1"), strict=True):
        stored = found.slices.sel(net=net)
        for line, loss in zip(axes.lines, stored["loss"].values, strict=False):
            np.testing.assert_array_equal(line.get_xdata(), stored["distance"])
            np.testing.assert_array_equal(line.get_ydata(), np.maximum(loss, figures.FLOOR))
        assert list(np.asarray(axes.lines[-1].get_ydata())) == [found.config.cutoff] * 2
        assert words in axes.get_title()
        assert f"test {100 * found.of('test_accuracy', net):.1f} %" in axes.get_title()
        assert "[nat]" in axes.get_ylabel()
        assert "[filter norms]" in axes.get_xlabel()
        highest = np.log10(found.surfaces["loss"].sel(net=net).max())
        assert float(highest) <= above.get_zlim()[1]


@pytest.mark.usefixtures("look")
def test_figure_7_draws_the_stored_lines_and_radii_on_one_scale(found: Measurements) -> None:
    figure = figures._figure7(found)
    first, second = figure.axes
    assert (first.get_xlim(), first.get_ylim()) == (second.get_xlim(), second.get_ylim())
    assert found.config.data in figure.get_suptitle()
    for axes, net in ((first, NETS[0]), (second, NETS[1])):
        losses = found.lines["loss"].sel(net=net).values
        for line, loss in zip(axes.lines, losses, strict=False):
            np.testing.assert_array_equal(line.get_ydata(), loss[np.isfinite(loss)])
        radii = found.relations.natural.radius["radius"].sel(net=net).values
        bar, dot = (np.asarray(line.get_xdata()) for line in axes.lines[-2:])
        assert bar.tolist() == [radii.min(), radii.max()]
        assert dot.tolist() == [np.median(radii)]
        assert f"median radius {np.median(radii):.3g} of 4 directions" in axes.get_title()


def test_a_name_of_the_users_own_goes_into_claims_and_titles(found: Measurements) -> None:
    named = replace(found, config=replace(found.config, data_name="my street"))
    assert {row.data for row in claims.claims(named, "smoke")} == {"my street"}
    with styled():
        titles = [drawn(named).get_suptitle() for drawn in (figures._figure4, figures._figure5, figures._figure7)]
    plt.close("all")
    assert all("my street" in title for title in titles)


def _row(found: Measurements, words: str) -> claims.Claim:
    (row,) = (row for row in claims.claims(found, "smoke") if words in row.claim)
    return row


def test_the_bad_net_is_held_to_the_points_at_which_the_good_net_is_low(found: Measurements) -> None:
    loss = found.surfaces["loss"].copy()
    values = np.full(loss.shape, 5.0)
    values[0, :, 0] = 0.01
    values[1, :2, 0] = 0.05
    # What is undefined is not below the cutoff.
    values[0, 0, 1], values[1, 0, 1] = np.inf, 0.0
    row = _row(replace(found, surfaces=found.surfaces.assign(loss=loss.copy(data=values))), "2-D slice")
    assert (row.measured, row.num, row.holds) == (pytest.approx(3 / 5), 5, False)


def test_later_crossings_are_counted_direction_by_direction(found: Measurements) -> None:
    natural = found.relations.natural
    radius = natural.radius["radius"].copy(data=[[0.2, 0.2, 0.2, np.nan], [0.1, 0.3, 0.1, 0.1]])
    changed = replace(natural, radius=natural.radius.assign(radius=radius))
    row = _row(replace(found, relations=replace(found.relations, natural=changed)), "share of the directions along")
    assert (row.measured, row.num, row.holds) == (0.5, 4, False)
