import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import basinscope as bs
from basinscope.errors import InputError
from basinscope.probes import tsne as maps
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
        return np.zeros((len(reduced), 2)), 0.0

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
        (_cluster(3), {"names": ["a"]}, "tsne: 1 names for 8 points"),
        ([{"x": torch.zeros(2)}] * 5, {}, "points.0. does not fit Sequential: 0.weight: missing"),
        ([perceptron()] * 5, {}, "all points are the same"),
        ([{n: t * torch.nan for n, t in perceptron().state_dict().items()}] * 5, {}, "not finite"),
    ],
)
def test_what_makes_no_map_is_told_of(points, options, told):
    with pytest.raises(InputError, match=told):
        bs.tsne(_objective(), points=points, **options)
