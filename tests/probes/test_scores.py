"""Losses and metrics of several data sets along lines and across planes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from jaxtyping import config

import basinscope as bs
from basinscope.errors import InputError
from tests.anyones import labelled, perceptron, sample_losses, vectors

METRICS = ("loss", "error", "square")
SETS = ("train", "test")


def error(model, batch):
    return (model(batch[0]).argmax(1) != batch[1]).double()


def square(model, batch):
    return model(batch[0]).square().sum(), len(batch[1])


def _test_set():
    return labelled(torch.linspace(-2, 2, 28, dtype=torch.float64).cos().reshape(7, 4), sizes=(4, 3), seed=5)


FUNCTIONS = dict(zip(METRICS, (sample_losses, error, square), strict=True))
DATA = {"train": vectors, "test": _test_set}


def _objective(points_at_once, model=None, **options):
    sets = {name: make() for name, make in DATA.items()}
    settings = {"metrics": {"error": error, "square": square}, "points_at_once": points_at_once} | options
    return bs.Objective(model or perceptron(), sample_losses, sets, **settings)


PROBES = {
    "slice1d": lambda objective: bs.slice1d(objective, num_directions=2, resolution=5, extent=2, progress=False),
    "slice2d": lambda objective: bs.slice2d(objective, resolution=4, extent=2, progress=False),
    "linear_path": lambda objective: bs.linear_path(objective, perceptron(seed=3), resolution=7, progress=False),
}


@pytest.mark.parametrize("points_at_once", [1, 8])
@pytest.mark.parametrize("probe", PROBES)
def test_values_are_those_of_separate_objectives(probe, points_at_once):
    found = PROBES[probe](_objective(points_at_once))
    assert found["batches"].values.tolist() == list(SETS)
    assert found["metric"].values.tolist() == list(METRICS)
    assert found["values"].dims == ("batches", "metric", *found["loss"].dims)
    np.testing.assert_array_equal(found["loss"], found["values"][0, 0])
    for name, make in DATA.items():
        for metric, function in FUNCTIONS.items():
            if metric == "error":  # of steps, which an objective may refuse: compared with a loop below
                continue
            alone = PROBES[probe](bs.Objective(perceptron(), function, make(), points_at_once=1))
            wanted = alone["loss"].values
            values = found["values"].sel(batches=name, metric=metric).values
            np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("points_at_once", [1, 8])
def test_values_are_those_of_a_slow_loop(points_at_once):
    model = perceptron()
    objective = _objective(points_at_once, model)
    found = bs.slice1d(objective, num_directions=2, resolution=5, extent=2, progress=False)
    for ray in range(2):
        direction = objective.direction(0, ray)
        for distance in found["distance"].values:
            moved = perceptron()
            tensors = dict(moved.named_parameters())
            with torch.no_grad():
                for place, filters in enumerate(objective.filters):
                    tensors[filters.name] += distance * direction.block(place)
                for name, make in DATA.items():
                    whole = tuple(torch.cat(parts) for parts in zip(*make(), strict=True))
                    losses, wrong, (total, num) = (function(moved, whole) for function in FUNCTIONS.values())
                    wanted = [float(losses.mean()), float(wrong.mean()), float(total) / num]
                    values = found["values"].sel(batches=name, ray=ray, distance=distance).values
                    np.testing.assert_allclose(values, wanted, rtol=1e-10)


def test_one_by_one_the_forward_pass_is_shared():
    calls = [0]

    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = perceptron()

        def forward(self, inputs):
            calls[0] += 1
            return self.net(inputs)

    objective = _objective(1, Counting().eval())
    objective.check_scores()
    steps = [((objective.direction(0, 0), distance),) for distance in (0.1, 0.2, 0.3)]
    with objective.held():
        calls[0] = 0
        for step in steps:
            objective.scores_at(*step)
    assert calls[0] == len(steps) * (len(vectors()) + len(_test_set()))


def test_losses_that_write_into_the_outputs_do_not_spoil_the_metrics():
    def in_place(model, batch):
        outputs = model(batch[0])
        outputs.sub_(outputs.logsumexp(1, keepdim=True))
        return -outputs.gather(1, batch[1][:, None])[:, 0]

    def mean_output(model, batch):
        return model(batch[0]).mean(1)

    found, alone = (
        bs.slice1d(
            bs.Objective(perceptron(), in_place, vectors(), metrics={"mean": mean_output}, points_at_once=num),
            num_directions=1,
            resolution=5,
            progress=False,
        )["values"].values
        for num in (8, 1)
    )
    wanted = bs.slice1d(
        bs.Objective(perceptron(), mean_output, vectors(), points_at_once=1),
        num_directions=1,
        resolution=5,
        progress=False,
    )["loss"].values
    np.testing.assert_allclose(alone[0, 1], wanted, rtol=1e-10)
    np.testing.assert_allclose(found, alone, rtol=1e-10)


def test_a_metric_of_other_inputs_and_one_of_the_weights_keep_their_numbers():
    metrics = {
        "mirrored": lambda model, batch: model(-batch[0]).mean(1),
        "norm": lambda model, batch: sum(tensor.square().sum() for tensor in model.parameters()),
    }
    found, alone = (PROBES["slice1d"](_objective(num, metrics=metrics))["values"].values for num in (8, 1))
    np.testing.assert_allclose(found, alone, rtol=1e-10)


def test_a_metric_whose_count_depends_on_the_weights_keeps_its_numbers():
    def sure(model, batch):
        outputs = model(batch[0]).softmax(1).amax(1)
        keep = outputs > 0.4
        return (outputs * keep).sum(), keep.sum()

    found, alone = (PROBES["slice1d"](_objective(num, metrics={"sure": sure}))["values"].values for num in (8, 1))
    np.testing.assert_allclose(found, alone, rtol=1e-10)


def test_a_single_data_set_without_metrics_has_no_values():
    found = PROBES["slice1d"](bs.Objective(perceptron(), sample_losses, vectors()))
    assert "values" not in found


@pytest.fixture
def untyped():
    """Without the checker of annotations, as a user's process is."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)


def _refused(words, make):
    with pytest.raises(InputError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("points_at_once", [1, 8])
@pytest.mark.parametrize(
    ("words", "metrics"),
    [
        (["metrics", "'loss'"], {"loss": error}),
        (["metrics['error']", "float"], {"error": 0.5}),
        (["metrics['logits']", "(5, 3)"], {"logits": lambda model, batch: model(batch[0])}),
        (["metrics['label']", "str"], {"label": lambda model, batch: "good"}),
        (["odd", "train", "nan"], {"odd": lambda model, batch: model(batch[0]).sum(1) * torch.nan}),
        (["name"], {" ": error}),
        (["metrics", "dictionary"], [error]),
    ],
)
def test_bad_metrics_are_refused_in_one_line(words, metrics, points_at_once, untyped):
    _refused(words, lambda: PROBES["slice1d"](_objective(points_at_once, metrics=metrics)))


def test_a_metric_that_is_nan_on_one_data_set_names_it():
    def odd(model, batch):
        found = model(batch[0]).sum(1)
        return found * torch.nan if len(batch[1]) == 4 else found

    _refused(["odd", "test", "nan"], lambda: PROBES["slice1d"](_objective(8, metrics={"odd": odd})))


@pytest.mark.parametrize(
    ("words", "batches"),
    [
        (["name", "''"], {"": vectors()}),
        (["name", "3"], {3: vectors()}),
        (["two data sets", "train"], {"train": vectors(), "train ": vectors()}),
        (["'test'"], {"train": vectors(), "test": iter(vectors())}),
        ([], {}),
        ([], {"inputs": vectors()[0][0], "labels": vectors()[0][1]}),
    ],
)
def test_bad_data_sets_are_refused_in_one_line(words, batches):
    _refused(words, lambda: bs.Objective(perceptron(), sample_losses, batches).center_loss)


def test_an_empty_data_set_is_named():
    sets = {"train": vectors(), "test": []}
    _refused(["test", "empty"], lambda: PROBES["slice1d"](bs.Objective(perceptron(), sample_losses, sets)))


@pytest.mark.parametrize("probe", PROBES)
def test_scores_are_saved_loaded_and_drawn(probe, tmp_path):
    found = PROBES[probe](_objective(8))
    bs.save(found, tmp_path / "scores.nc")
    loaded = bs.load(tmp_path / "scores.nc")
    np.testing.assert_array_equal(loaded["values"], found["values"])
    assert loaded["metric"].values.tolist() == list(METRICS)
    assert loaded["batches"].values.tolist() == list(SETS)
    figure = bs.plot(loaded)
    assert figure.axes
    plt.close("all")


@pytest.mark.parametrize("points_at_once", [1, 8])
@pytest.mark.parametrize("name", ["error", "loss"])
def test_an_exception_of_a_metric_is_told_with_its_name_and_the_batch(name, points_at_once):
    def fails(model, batch):
        if len(batch[1]) == 3:
            raise KeyError("no such label")
        return sample_losses(model, batch)

    given = {"metrics": {"error": fails}} if name == "error" else {}
    objective = bs.Objective(
        perceptron(),
        sample_losses if name == "error" else fails,
        {"train": vectors()[:1], "test": _test_set()},
        points_at_once=points_at_once,
        **given,
    )
    what = "the loss function" if name == "loss" else r"metrics\['error'\]"
    with pytest.raises(InputError, match=rf"^{what} fails on batch 2 of 'test', a tuple of Tensor.*KeyError: 'no such"):
        bs.slice1d(objective, resolution=3, progress=False)


def test_a_metric_that_runs_out_of_memory_is_retried_with_halves():
    def hungry(model, batch):
        if len(batch[1]) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return error(model, batch)

    objective = bs.Objective(perceptron(), sample_losses, vectors(), metrics={"error": hungry}, points_at_once=1)
    plain = bs.Objective(perceptron(), sample_losses, vectors(), metrics={"error": error}, points_at_once=1)
    np.testing.assert_allclose(objective.scores_at(), plain.scores_at(), rtol=1e-12)
