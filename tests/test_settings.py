"""Arguments of the wrong type are refused by every verb, in one line that names them."""

import inspect
import math
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import basinscope as bs
from basinscope.errors import InputError
from basinscope.probes.options import parameters, type_of
from basinscope.probes.table import PROBES
from basinscope.settings import checked_hints, checks_settings
from tests.anyones import perceptron, sample_losses, vectors

LEFT_TO_THE_VERB = {
    "Landscape", "PointObjective", "nn.Module", "nn.Module | Objective", "Loss", "Batches", "Batches | None", "Any",
    "Batches | Mapping[str, Batches]", "Minimum", "xr.Dataset", "Results", "AxesChoice | None", "Count | None",
    "str | Colormap | None", "Loss | None",
    "Probes | None", "Instance | None", "Optimizer | None",
}  # fmt: skip
"""Annotations of classes and of anything iterable."""
WRONG = {
    "int": ["a", "3", 2.0, True, None, [1], math.nan, 1j, np.float64(2), torch.tensor([1, 2])],
    "float": ["a", "0.1", True, None, [1.0], (1, 2), math.nan, math.inf, -math.inf, 1j, np.array([1.0, 2.0])],
    "bool": ["a", 1, 0.0, [True]],
    "str": [3, b"a", ["a"], Path("a")],
    "str | Path": [3, ["a"], True],
    "Sequence[int]": ["ab", 3, [1.0], [True], ["a"], {0: 1}, {1, 2}, np.array([0.5])],
    "Sequence[str]": ["ab", 3, [3], {"a": 1}],
    "tuple[int, int]": ["ab", 3, (1,), (1, 2, 3), (1.0, 2.0), [True, False]],
    "tuple[str, str]": ["ab", 3, ("a",), (1, 2)],
    "Float[Tensor, ' distances']": ["a", 3, ["a"], [math.nan], [[1.0]], [], torch.tensor([math.inf]), [True]],
    "Float[Tensor, ' params']": ["a", 3, ["a"], [math.nan]],
    "Watcher": ["x", 3, [True]],
    "Callable[[float], None]": ["x", 3],
    "Points": [3, None, 0.5],
    "Sequence[Given]": [3, None, {"a": 1}],
    "Literal['random', 'hessian'] | Sequence[Given]": ["nope", 3, None, {"a": 1}],
    "Literal['random', 'hessian', 'between', 'pca'] | Sequence[Given]": ["nope", 3, None, {"a": 1}],
    "Scale": ["nope", 3, ["plain"]],
    "Scheme": ["nope", 3, ["filter"]],
    "OneDim | str": [3, ["fixed"]],
    "Precision": ["half", 3],
    "Masks": [3, ["a"], "ones"],
    "Levels": ["x", 2.5, [math.nan], True],
    "Which": [3, [torch.zeros(2)], list(perceptron().parameters())],
    "Mapping[str, Loss]": [3, [len]],
    "Mapping[str, Any]": [3, ["a"]],
    "str | Sequence[str]": [3, [3]],
    "str | Sequence[str] | Mapping[str, Options]": [3, [3]],
}
"""Values of the wrong type, by annotation."""


def _verbs():
    """Every public function of a landscape, and the others that take settings."""
    named = [getattr(bs, name) for name in bs.__all__ if name != "__version__"]
    functions = [
        verb for verb in named if inspect.isfunction(verb) and "landscape" in inspect.signature(verb).parameters
    ]
    others = [bs.plot, bs.save, bs.load, bs.survey, bs.run, bs.Objective, bs.Recorder]
    return {verb.__name__: verb for verb in (*functions, *others)}


VERBS = _verbs()


def _annotations(verb):
    """Annotation of each parameter, as written, and whether it allows None."""
    found = {}
    for name, parameter in inspect.signature(verb).parameters.items():
        words = str(parameter.annotation)
        if words in LEFT_TO_THE_VERB:
            continue
        bare = words.removesuffix(" | None")
        found[name] = (bare, bare != words or bare in ("Watcher", "Masks"))
    return found


CASES = [(verb, name) for verb in VERBS for name in _annotations(VERBS[verb])]


def _valid(name):
    """A valid value for any required argument."""
    values = {
        "model": perceptron, "network": perceptron, "loss_fn": lambda: sample_losses, "batches": vectors,
        "landscape": lambda: None, "other": perceptron, "results": lambda: None, "result": lambda: None,
        "names": lambda: "rings", "path": lambda: "nowhere.nc", "points": lambda: [], "seed": lambda: 0,
        "indices": lambda: [0], "distances": lambda: torch.ones(2), "extent": lambda: 1.0, "resolution": lambda: 3,
        "ceiling": lambda: 1.0, "point": lambda: torch.ones(2), "loss": lambda: 0.1,
    }  # fmt: skip
    return values[name]()


def _call(verb, **given):
    required = {n: p for n, p in inspect.signature(verb).parameters.items() if p.default is p.empty}
    values = {name: _valid(name) for name in required if name not in given} | given
    positional = [values.pop(n) for n, p in required.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return verb(*positional, **values)


def test_every_verb_is_among_them():
    assert {"slice1d", "tsne", "rising_lines", "scale_last_layer", "Objective", "survey"} <= set(VERBS)
    assert len(VERBS) >= 20
    assert len(CASES) >= 110


@pytest.mark.parametrize(("verb", "name"), CASES)
def test_a_value_of_the_wrong_type_is_refused_with_its_name(verb, name):
    annotation, optional = _annotations(VERBS[verb])[name]
    assert annotation in WRONG, f"{annotation}: which values are wrong?"
    wrong = [value for value in WRONG[annotation] if value is not None or not optional]
    for value in [*wrong, object()]:
        with pytest.raises(InputError, match=rf"^{verb}: {name}\b") as caught:
            _call(VERBS[verb], **{name: value})
        message = str(caught.value)
        assert re.search(r": (must be|choose from) ", message), message
        assert "\n" not in message
        assert len(message) < 200


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_what_it_was(verb):
    function = VERBS[verb]
    assert "Args:" in function.__doc__
    assert checked_hints(function.__init__ if inspect.isclass(function) else function)
    assert pickle.loads(pickle.dumps(function)) is function  # noqa: S301


def test_the_command_line_still_knows_the_types_of_options():
    probe = PROBES["basin_radius"]
    types = {name: type_of(parameter) for name, parameter in parameters(probe.verb).items()}
    assert (types["rise"], types["num_directions"], types["seed"]) == (float, int, int)
    assert parameters(PROBES["curvature"].verb)["density"].default is False


@checks_settings
def _echo(
    number: int = 0,
    share: float = 0.0,
    flag: bool | None = None,
    members: "list[int] | tuple[int, ...]" = (),
    *,
    name: str | Path = "",
):
    return number, share, flag, members, name


def test_numbers_of_numpy_and_of_tensors_become_python_s():
    found = _echo(np.int64(3), np.float32(0.5), np.bool_(True), name=Path("a"))
    assert found == (3, 0.5, True, (), Path("a"))
    assert [type(value) for value in found[:3]] == [int, float, bool]
    assert _echo(torch.tensor(3), torch.tensor(0.5))[:2] == (3, 0.5)
    assert _echo(np.array(3), 2)[:2] == (3, 2)


@pytest.mark.parametrize("indices", [range(2), [0, 1], (0, 1), np.arange(2), torch.arange(2), iter([0, 1])])
def test_members_may_be_any_list_of_whole_numbers(indices):
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    wanted = bs.slice1d(objective, num_directions=2, resolution=3, progress=False)
    found = bs.slice1d(objective, indices=indices, resolution=3, progress=False)
    np.testing.assert_array_equal(found["loss"], wanted["loss"])
    plane = bs.slice2d(objective, indices=[0, 1], resolution=3, progress=False)
    assert plane.equals(bs.slice2d(objective, indices=(0, 1), resolution=3, progress=False))


@pytest.mark.parametrize("distances", [[0, 0.5], (0.0, 0.5), np.array([0, 0.5]), torch.tensor([0.0, 0.5])])
def test_distances_may_be_any_list_of_numbers(distances):
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    found = bs.slice1d(objective, distances=distances, num_directions=1, progress=False)
    assert found["distance"].values.tolist() == [0, 0.5]
    lines = bs.rising_lines(objective, seed=0, indices=[0], distances=distances, ceiling=1e9)
    np.testing.assert_allclose(lines["loss"], found["loss"], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda o: bs.slice1d(o, num_directions=-1), "num_directions = -1: must be at least 1"),
        (lambda o: bs.slice1d(o, indices=[]), "indices is empty"),
        (lambda o: bs.slice1d(o, extent=-1.0), "extent = -1.0: must be a number above 0"),
        (lambda o: bs.slice2d(o, indices=(1, 1)), r"indices = \(1, 1\): give two different members"),
        (lambda o: bs.mean_curvature(o, num_trace=0), "num_trace = 0: must be at least 1"),
        (lambda o: bs.top_eigenvalue(o, num_vectors=2), "num_vectors = 2: must be at least 3"),
        (lambda o: bs.top_eigenvalue(o, seed=-1), "seed = -1: must be at least 0"),
        (lambda o: bs.connect(o, perceptron(seed=1), num_steps=-1), "num_steps = -1: must be at least 0"),
        (lambda o: bs.sharpness(o, rho=-0.1), "rho = -0.1: must be above 0"),
        (lambda o: bs.tsne(o, points=[], perplexity=-1.0), "perplexity = -1.0: must be above 0"),
    ],
)
def test_values_that_are_out_of_range_are_refused_too(call, says):
    with pytest.raises(InputError, match=says):
        call(bs.Objective(perceptron(), sample_losses, vectors()))


def test_options_of_a_survey_are_checked_before_anything_is_written(tmp_path):
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    for probes, says in (
        ({"slice1d": {"seed": "a"}}, "slice1d: seed = 'a': must be a whole number"),
        ({"curvature": {"scale": "nope"}}, "curvature: scale = 'nope': choose from plain, filter"),
    ):
        with pytest.raises(InputError, match=says):
            bs.survey(objective, probes=probes, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_options_of_figures_are_checked():
    plane = bs.slice2d(bs.Objective(perceptron(), sample_losses, vectors()), resolution=3, progress=False)
    for options, says in (
        ({"cmap": "viridi"}, "cmap = 'viridi': no colour map has this name; choose one such as viridis"),
        ({"levels": -1}, "levels = -1: must be at least 0"),
    ):
        with pytest.raises(InputError, match=f"plot: {says}"):
            bs.plot(plane, **options)


def test_a_folder_is_no_file(tmp_path):
    line = bs.slice1d(bs.Objective(perceptron(), sample_losses, vectors()), resolution=3, progress=False)
    with pytest.raises(InputError, match=r"is a folder: name a file in it, such as .*result\.nc"):
        bs.save(line, tmp_path)
    with pytest.raises(InputError, match=r"use the suffix \.nc"):
        bs.save(line, tmp_path / "new" / "line.csv")
    line.attrs["bad"] = object()
    with pytest.raises(InputError, match="cannot be stored"):
        bs.save(line, tmp_path / "new" / "line.nc")
    assert not list(tmp_path.iterdir())
