import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import basinscope as bs
from basinscope.errors import InputError
from basinscope.probes import embedding
from basinscope.probes import tsne as maps
from basinscope.probes.embedding import Embedding
from tests.anyones import perceptron, sample_losses, untouched, vectors


def _objective(**options) -> bs.Objective:
    return bs.Objective(perceptron(), sample_losses, vectors(), **options)


def _cluster(seed: int, num: int = 8) -> list[dict[str, torch.Tensor]]:
    """Points close to one far point."""
    center = perceptron(seed=seed).state_dict()
    noise = torch.Generator().manual_seed(seed)
    return [
        {name: 5 * t + 0.01 * torch.randn(t.shape, generator=noise, dtype=t.dtype) for name, t in center.items()}
        for _ in range(num)
    ]


def test_points_that_lie_together_lie_together_on_the_map_and_their_names_stay_theirs():
    objective = _objective()
    groups = {name: _cluster(seed) for name, seed in (("sgd", 3), ("adam", 4), ("both", 5))}
    with untouched(objective.model):
        found = bs.tsne(objective, points=groups, perplexity=6)
    assert objective.num_evaluations == 0
    names = found["marker"].values
    assert names.tolist() == ["model"] + ["sgd"] * 8 + ["adam"] * 8 + ["both"] * 8
    places = np.stack([found["x"].values, found["y"].values], axis=1)[1:]
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    same = names[1:, None] == names[None, 1:]
    nearest = np.argsort(distances + 1e9 * np.eye(24), axis=1)[:, :7]
    assert np.take_along_axis(same, nearest, axis=1).mean() > 0.95
    assert found.identical(bs.tsne(_objective(), points=groups, perplexity=6))


def test_components_are_those_of_a_principal_component_analysis_of_the_weights(monkeypatch: pytest.MonkeyPatch):
    objective = _objective()
    points = [*_cluster(3, 3), *_cluster(4, 4)]
    given = []

    def remember(reduced, **options):
        given.append(reduced)
        return Embedding(np.zeros((len(reduced), 2)), 0.0, 2.0, converged=True)

    monkeypatch.setattr(maps, "embed", remember)
    found = bs.tsne(objective, points=points)
    states = [objective.model.state_dict(), *points]
    weights = np.stack([torch.cat([s[f.name].reshape(-1) for f in objective.filters]).numpy() for s in states])
    assert weights.shape == (8, objective.num_moved)
    pca = PCA(7, svd_solver="full").fit(weights)
    wanted = pca.transform(weights)
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(np.abs(given[0]), np.abs(wanted), atol=1e-7 * scale)  # the sign of an axis is free
    assert float(found["explained_variance"]) == pytest.approx(1.0)


def test_it_saves_loads_and_draws(tmp_path):
    found = bs.tsne(_objective(), points={"a": _cluster(3, 4), "lone": _cluster(5, 1)}, perplexity=2)
    assert bs.load(bs.save(found, tmp_path / "map.nc")).identical(found)
    figure = bs.plot(found)
    (axes,) = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "start of a path"]
    assert {text.get_text() for text in axes.texts} == {"lone", "model"}
    (path,) = [line for line in axes.lines if len(line.get_xdata()) == 4]
    np.testing.assert_array_equal(path.get_xdata(), found["x"].values[1:5])
    assert "only neighbourhoods" in axes.get_xlabel()


@pytest.mark.parametrize(
    ("points", "options", "told"),
    [
        ([], {}, "give at least 5"),
        (_cluster(3, 3), {}, "a map of 4 networks: give at least 5"),
        (_cluster(3), {"perplexity": 0.0}, "perplexity = 0.0: must be above 0"),
        (_cluster(3), {"max_steps": 1499}, "tsne: max_steps = 1499: must be at least 1500"),
        (_cluster(3, 3) * 3, {}, "a map of 10 networks, only 4 of which differ: give at least 5 different ones"),
        (_cluster(3), {"names": ["a"]}, "tsne: 1 names for 8 points"),
        ([{"x": torch.zeros(2)}] * 5, {}, "points.0. does not fit Sequential: 0.weight: missing"),
        ([perceptron()] * 5, {}, "all points are the same"),
        ([{n: t * torch.nan for n, t in perceptron().state_dict().items()}] * 5, {}, "not finite"),
    ],
)
def test_what_makes_no_map_is_told_of(points, options, told):
    with pytest.raises(InputError, match=told):
        bs.tsne(_objective(), points=points, **options)


FRESH = """
import random, sys
import numpy as np, torch
import basinscope as bs
net = torch.nn.Linear(3, 2)
loss = lambda model, batch: torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
at = bs.Objective(net, loss, [(torch.randn(8, 3), torch.randint(2, (8,)))])
points = [{"weight": torch.randn(2, 3), "bias": torch.zeros(2)} for _ in range(6)]
def states():
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
before = states()
assert "sklearn" not in sys.modules
bs.tsne(at, points=points, perplexity=2.0)
assert "sklearn" in sys.modules
assert states() == before
bs.tsne(at, points=points, perplexity=2.0)
assert states() == before
"""


def test_random_states_stay_as_they_are():
    # In a process of its own: scikit-learn draws from Python's random numbers when it is first imported, and so does
    # beartype, with which these tests check shapes.
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _recorded(objective: bs.Objective, num: int = 7) -> list[dict[str, torch.Tensor]]:
    """A path that ends at the network."""
    end = {name: tensor.clone() for name, tensor in objective.model.state_dict().items()}
    noise = torch.Generator().manual_seed(1)
    path = [end]
    for _ in range(num - 1):
        path.append({n: t + torch.randn(t.shape, generator=noise, dtype=t.dtype) for n, t in path[-1].items()})
    return path[::-1]


def _places(found) -> np.ndarray:
    return np.stack([found["x"].values, found["y"].values], axis=1)


def test_equal_points_count_once_and_share_a_place():
    objective = _objective()
    path = _recorded(objective)
    found = bs.tsne(objective, points={"run": path, "again": path[2:4]}, perplexity=2.0)
    places = _places(found)
    np.testing.assert_array_equal(places[0], places[7])  # the network and its last copy
    np.testing.assert_array_equal(places[3:5], places[8:])
    assert len(np.unique(places, axis=0)) == 7
    assert found["num_different"] == 7
    assert found.sizes["point"] == 10
    alone = bs.tsne(objective, points=path[:-1], perplexity=2.0)
    np.testing.assert_allclose(_places(alone), places[:7], rtol=1e-3, atol=1e-3 * np.ptp(places))
    for name in ("kl_divergence", "explained_variance", "perplexity"):
        np.testing.assert_allclose(alone[name], found[name], rtol=1e-3)


def test_the_title_of_a_map_tells_equal_points_and_what_has_not_converged():
    objective = _objective()
    found = bs.tsne(objective, points=_recorded(objective), perplexity=2.0)

    def title(result) -> str:
        return " ".join(bs.plot(result).axes[0].get_title().split())

    assert title(found).startswith("t-SNE of 8 points (7 different), on principal components")
    assert "not converged" not in title(found)
    assert title(found.assign(converged=0)).endswith("variance, not converged")
    old = found.drop_vars(["num_different", "converged", "perplexity"])
    assert title(old).startswith("t-SNE of 8 points, on principal components")


def test_a_perplexity_beyond_the_points_is_told_of_in_one_line(caplog):
    found = bs.tsne(_objective(), points=_cluster(3, 6), perplexity=7.0)
    (record,) = caplog.records
    assert record.getMessage() == (
        "tsne: perplexity 7 is too large for 7 different points: 2 is used; give a smaller one or more points"
    )
    assert found["perplexity"] == 2.0
    caplog.clear()
    assert bs.tsne(_objective(), points=_cluster(3, 6), perplexity=1.5)["perplexity"] == 1.5
    assert not caplog.records


def test_what_has_not_converged_is_told_of(monkeypatch, caplog):
    spread, rates = 1.0, []

    def restless(reduced, start, *, rate, **_):
        nonlocal spread
        spread *= 1.5
        rates.append(rate)
        return spread * np.random.default_rng(0).normal(size=(len(reduced), 2))

    monkeypatch.setattr(embedding, "_optimised", restless)
    with caplog.at_level(logging.WARNING):
        found = bs.tsne(_objective(), points=_cluster(3, 6), perplexity=2.0, max_steps=2000)
    (record,) = caplog.records
    assert record.getMessage().startswith("tsne: t-SNE has not converged: the last 500 of 2000 iterations changed its")
    assert record.getMessage().endswith("give max_steps=4000 or another perplexity")
    assert "\n" not in record.getMessage()
    # Rounds that make the map worse are discarded and shorten the steps.
    assert rates == [50.0, 50.0, 25.0]
    assert np.ptp(found["x"].values) == pytest.approx(1.5 * np.ptp(np.random.default_rng(0).normal(size=(7, 2))[:, 0]))
    assert found["converged"] == 0
    assert found["converged"].attrs["flag_meanings"] == "no yes"


def test_what_has_converged_is_said(caplog):
    assert bs.tsne(_objective(), points=_cluster(3, 6), perplexity=2.0)["converged"] == 1
    assert not caplog.records
