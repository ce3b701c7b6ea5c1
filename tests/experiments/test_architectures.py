import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import xarray as xr

from basinscope.cli import main
from basinscope.data.images import ImageTask
from basinscope.errors import InputError
from basinscope.experiments import imaging, registry
from basinscope.experiments.architectures import claims, figures
from basinscope.experiments.architectures import tasks as work
from basinscope.experiments.architectures.collect import Measurements, collect
from basinscope.experiments.architectures.config import ALL_OPTIMIZERS, PRESETS, Config
from basinscope.experiments.claims import Claim
from basinscope.plots.style import styled
from basinscope.training.single import SingleResult, SingleTrainer
from basinscope.training.torch_optimizers import TORCH_OPTIMIZERS
from tests.images import flat_parameters
from tests.stored import the_run

RUN = ["run", "architectures", "--preset", "smoke", "--out"]
SHORT = {"epochs": "1", "linear_epochs": "1", "table_epochs": "1", "width": "0.25", "optimizers": "momentum,adam"}


def _settings(**more: str) -> list[str]:
    return [word for field, text in (SHORT | more).items() for word in ("--set", f"architectures.{field}={text}")]


@pytest.fixture(scope="module")
def config(smoke: Path) -> Config:
    """Of the stored run, with name and checksum of its images."""
    record = the_run(smoke, "architectures").read_json("config.json")
    assert record is not None
    return registry.restore(registry.load_experiment("architectures"), record["config"])


@pytest.fixture(scope="module")
def found(smoke: Path, config: Config) -> Measurements:
    return collect(the_run(smoke, "architectures"), config)


@pytest.fixture(scope="module")
def task(config: Config) -> ImageTask:
    return imaging._load("cifar10", config, None)


@pytest.mark.parametrize(("name", "kind"), [("net", "resnet8"), ("linear", "polynomial")])
@torch.no_grad()
def test_claimed_accuracy_is_that_of_the_stored_weights(
    smoke: Path, config: Config, task: ImageTask, found: Measurements, name: str, kind: str
) -> None:
    width = config.width if name == "net" else 1.0
    net = imaging.build_net(kind, width, task, shrunk=config.shrunk)
    net.load_state_dict(the_run(smoke, "architectures").weights(f"weights-{name}"))
    net.eval()
    for images, what in ((task.train, "train_accuracy"), (task.test, "test_accuracy")):
        right = net(images.inputs()).argmax(1) == images.labels
        assert found.of(what, name) == pytest.approx(float(right.double().mean()), abs=1e-12)
        assert found.of(what, name) == float(found.histories[name][what][-1]), "the curve ends where the bar stands"
    assert found.of("num_parameters", name) == flat_parameters(net).numel()
    assert found.histories[name]["epoch"].values[[0, -1]].tolist() == [0, 6]


def test_each_optimizer_makes_its_updates(config: Config, found: Measurements) -> None:
    assert config.num_train is not None
    in_epoch = math.ceil(config.num_train / config.batch_size)
    expected = dict.fromkeys(ALL_OPTIMIZERS, round(config.table_epochs * in_epoch))
    expected |= {"gradient_descent": config.descent_steps, "lbfgs": config.lbfgs_steps}
    table = found.optimizers
    assert dict(zip(table["net"].values, table["steps"].values, strict=True)) == expected
    rates = {name: TORCH_OPTIMIZERS[name].short_rate for name in ALL_OPTIMIZERS}
    assert dict(zip(table["net"].values, table["learning_rate"].values, strict=True)) == rates


def test_published_rates_and_a_larger_network_are_for_the_asking(tmp_path: Path) -> None:
    more = {"table_rates": "published", "larger_width": "0.5", "optimizers": "adamax"}
    assert main([*RUN, str(tmp_path), *_settings(**more)]) == 0
    run = the_run(tmp_path, "architectures")
    assert run.dataset("optimizer-adamax")["learning_rate"].item() == TORCH_OPTIMIZERS["adamax"].learning_rate
    small, large = (run.dataset(f"nets-{name}")["num_parameters"].item() for name in ("net", "larger"))
    assert 3 < large / small < 4.5, "twice as wide"
    rows = json.loads((tmp_path / "architectures" / "claims.json").read_text(encoding="utf-8"))
    assert sum(row["claim"].startswith("larger network: ") for row in rows) == 2


def test_a_diverged_optimizer_is_a_marked_row_and_all_begin_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[torch.Tensor] = []
    train = SingleTrainer.train

    def noted(trainer: SingleTrainer, **more: object) -> SingleResult:
        if trainer.name in ("SGD, momentum", "Adam"):
            starts.append(flat_parameters(trainer.model).clone())
        return train(trainer, **more)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(SingleTrainer, "train", noted)
    rows = {**TORCH_OPTIMIZERS, "momentum": replace(TORCH_OPTIMIZERS["momentum"], short_rate=1e30)}
    monkeypatch.setattr(work, "TORCH_OPTIMIZERS", rows)
    assert main([*RUN, str(tmp_path), *_settings()]) == 0
    assert torch.equal(*starts)
    run = the_run(tmp_path, "architectures")
    lost, kept = (run.dataset(f"optimizer-{name}").squeeze("net") for name in ("momentum", "adam"))
    assert (int(lost["diverged"]), int(kept["diverged"])) == (1, 0)
    for name in ("clean_loss", "train_accuracy", "test_accuracy"):
        assert np.isnan(lost[name])
        assert np.isfinite(kept[name])
    told = json.loads((tmp_path / "architectures" / "claims.json").read_text(encoding="utf-8"))
    (row,) = (row for row in told if row["claim"].startswith("SGD, momentum: "))
    assert row["claim"].endswith("(diverged)")
    assert row["measured"] is None


def _table(train: list[float], test: list[float]) -> xr.Dataset:
    names = [f"o{place}" for place in range(len(train))]
    return xr.Dataset(
        {"train_accuracy": ("net", train), "test_accuracy": ("net", test), "title": ("net", names)}, {"net": names}
    )


def _row(found: Measurements, words: str) -> Claim:
    (row,) = (row for row in claims.claims(found, "smoke") if row.claim.startswith(words))
    return row


def test_only_optimizers_that_fit_count_in_the_span(found: Measurements) -> None:
    changed = replace(found, optimizers=_table([1.0, 0.98, 0.99, np.nan], [0.6, 0.2, 0.7, np.nan]))
    span = _row(changed, "span of the test accuracies")
    assert (span.measured, span.num, span.spread, span.holds) == (pytest.approx(0.1), 2, (0.6, 0.7), True)
    share = _row(changed, "optimizers that fit")
    assert (share.measured, share.num, share.holds) == (0.5, 4, None)
    wide = replace(found, optimizers=_table([1.0, 1.0], [0.6, 0.8]))
    assert _row(wide, "span of the test accuracies").holds is False


def test_where_no_optimizer_fits_the_span_does_not_hold(found: Measurements) -> None:
    span = _row(replace(found, optimizers=_table([0.5, np.nan], [0.4, np.nan])), "span of the test accuracies")
    assert math.isnan(span.measured)
    assert (span.num, span.holds) == (0, False)
    alone = _row(replace(found, optimizers=_table([1.0, 0.5], [0.9, 0.4])), "span of the test accuracies")
    assert math.isnan(alone.measured)
    assert (alone.num, alone.holds) == (1, False)


def test_the_lead_and_the_sizes_are_those_of_network_and_linear_model(found: Measurements) -> None:
    nets = found.nets.copy()
    nets["test_accuracy"], nets["num_parameters"] = ("net", [0.7, 0.4]), ("net", [100, 210])
    rows = replace(found, nets=nets)
    lead, sizes = _row(rows, "the network's test accuracy is above"), _row(rows, "parameters, the larger count")
    assert (lead.measured, lead.holds) == (pytest.approx(0.3), True)
    assert (sizes.measured, sizes.holds) == (pytest.approx(2.1), False)


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("net", "resnet9", "architectures.net = 'resnet9': choose from resnet8"),
        ("table_net", "vgg", "architectures.table_net = 'vgg': choose from"),
        ("width", "0", "architectures.width = 0.0: must be above 0"),
        ("table_width", "17", "architectures.table_width = 17.0: must be at most 16"),
        ("optimizers", "adam,adam", "architectures.optimizers = ('adam', 'adam'): name at least one, each once"),
        ("optimizers", "", "name at least one, each once"),
        ("optimizers", "adamant", "architectures.optimizers = 'adamant': choose from sgd"),
        ("larger_width", "0.5", "architectures.larger_width = 0.5: must be above width = 0.5, or none"),
        ("larger_width", "0.25", "must be above width"),
        ("warmup", "1", "architectures.warmup = 1.0: must be at least 0 and below 1"),
        ("table_rates", "mine", "architectures.table_rates = 'mine': choose from published, short"),
        ("lbfgs_steps", "0", "architectures.lbfgs_steps = 0: must be at least 1"),
        ("fit_target", "1.5", "architectures.fit_target = 1.5: must be at most 1"),
        ("num_train", "5", "5 training images of scattered digits: ask for at least 10"),
    ],
)
def test_a_wrong_field_gets_one_line(field: str, text: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "architectures", "--preset", "smoke", "--set", f"architectures.{field}={text}"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def test_a_rate_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InputError, match=r"architectures\.learning_rate = nan: must be finite"):
        replace(Config(), learning_rate=math.nan)


def test_the_published_preset_compares_three_models() -> None:
    assert PRESETS["paper"].models() == {"net": 0.5, "larger": 1.0, "linear": None}
    assert PRESETS["quick"].models() == {"net": 1.0, "linear": None}


@pytest.fixture
def look() -> Iterator[None]:
    with styled():
        yield
    plt.close("all")


@pytest.mark.usefixtures("look")
def test_the_figure_of_both_models_draws_their_stored_courses_and_ends(found: Measurements) -> None:
    figure = figures._fit(found)
    over, ends = figure.axes
    drawn = [np.asarray(line.get_ydata()) for line in over.lines]
    stored = [found.histories[name][what] for name in ("net", "linear") for what in ("train_accuracy", "test_accuracy")]
    for line, values in zip(drawn, stored, strict=True):
        np.testing.assert_allclose(line, 100 * values)
    heights = [bar.get_height() for bar in ends.patches]  # pyright: ignore[reportAttributeAccessIssue]
    numbers = [found.of(what, name) for name in ("net", "linear") for what in ("train_accuracy", "test_accuracy")]
    np.testing.assert_allclose(heights, 100 * np.array(numbers))
    (legend,) = figure.legends
    told = [text.get_text() for text in legend.get_texts()]
    assert told[0] == f"ResNet-8, width × 0.5: {found.of('num_parameters', 'net') / 1e3:.3g} k parameters"
    assert told[1].startswith("linear model on pixels and products: ")
    assert found.config.data in figure.get_suptitle()
    assert "[%]" in over.get_ylabel()


@pytest.mark.usefixtures("look")
def test_the_table_draws_every_optimizer_at_its_stored_accuracy(found: Measurements) -> None:
    figure = figures._optimizers(found)
    (axes,) = figure.axes
    order = np.argsort(found.optimizers["test_accuracy"].values)
    test = np.asarray(axes.collections[-1].get_offsets())
    np.testing.assert_allclose(test[:, 0], 100 * found.optimizers["test_accuracy"].values[order])
    titles = [label.get_text() for label in axes.get_yticklabels()]
    assert titles == [str(title) for title in found.optimizers["title"].values[order]]
    assert figure.get_suptitle() == (
        f"Figure 2 · One network, many optimizers: ResNet-8, width × 0.25\n{found.config.data}"
    )


@pytest.mark.parametrize(
    ("net", "width", "title"), [("vgg13", 1.0, "VGG13"), ("resnet18", 0.5, "ResNet-18, width × 0.5")]
)
def test_networks_are_called_by_kind_and_width(net: str, width: float, title: str) -> None:
    assert figures.net_title(net, width) == title


def test_a_name_of_the_users_own_goes_into_claims_and_titles(found: Measurements) -> None:
    named = replace(found, config=replace(found.config, data_name="my garden"))
    assert {row.data for row in claims.claims(named, "smoke")} == {"my garden"}
    with styled():
        titles = [drawn(named).get_suptitle() for drawn in (figures._fit, figures._optimizers)]
    plt.close("all")
    assert all("my garden" in title for title in titles)
