import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.spatial.distance import cdist

from basinscope.errors import InputError
from basinscope.landscape.normalize import Normalization
from basinscope.models.mlp import MLP
from basinscope.probes.embedding import NUM_COMPONENTS, affinities, different_points, embed, map_divergence, tsne_map

NET = MLP((2, 8, 8, 1))
NORMALIZATION = Normalization(NET.layout)


def _clusters(num: int = 20) -> tuple[torch.Tensor, np.ndarray]:
    stream = torch.Generator().manual_seed(0)
    middles = 10 * torch.randn(3, NET.layout.num_parameters, generator=stream)
    labels = torch.arange(3).repeat_interleave(num)
    return middles[labels] + torch.randn(3 * num, middles.shape[1], generator=stream), labels.numpy()


def test_clusters_stay_together_on_the_map():
    points, labels = _clusters()
    found = tsne_map(points, NORMALIZATION, seed=0, perplexity=10)
    places = np.stack([found["x"], found["y"]], axis=1)
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    assert (labels[apart.argmin(1)] == labels).all()


def test_a_path_keeps_its_neighbours():
    stream = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, NET.layout.num_parameters, generator=stream)
    time = torch.linspace(0, 3, 60)[:, None]
    found = tsne_map(time.cos() * a + time.sin() * b, NORMALIZATION, seed=0, perplexity=10)
    places = np.stack([found["x"], found["y"]], axis=1)
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    assert (np.abs(apart.argmin(1) - np.arange(60)) <= 2).all()
    # The path lies in a plane: two components hold it whole.
    assert found["explained_variance"].item() == pytest.approx(1.0)


def test_the_variance_kept_is_that_of_the_components():
    stream = torch.Generator().manual_seed(2)
    points = torch.randn(80, NET.layout.num_parameters, generator=stream, dtype=torch.float64)
    weights = NORMALIZATION.moved(points)
    spectrum = torch.linalg.svdvals(weights - weights.mean(0)).square()
    wanted = spectrum[:NUM_COMPONENTS].sum() / spectrum.sum()
    found = tsne_map(points, NORMALIZATION, seed=0, perplexity=30)
    assert found["explained_variance"].item() == pytest.approx(wanted.item(), rel=1e-9)
    assert found["kl_divergence"] > 0


def test_the_same_seed_gives_the_same_map_and_biases_do_not_count():
    points, _ = _clusters(5)
    moved = points.clone()
    for view in NET.layout.views(moved):
        if view.ndim == 2:
            view.add_(100.0)
    one, again, other = (tsne_map(p, NORMALIZATION, seed=3, perplexity=30) for p in (points, points, moved))
    assert one.identical(again)
    np.testing.assert_array_equal(one["x"], other["x"])


def test_few_points_are_mapped_and_too_few_refused():
    points, _ = _clusters(2)
    assert tsne_map(points, NORMALIZATION, seed=0, perplexity=30).sizes["point"] == 6
    with pytest.raises(InputError, match="at least 5"):
        tsne_map(points[:4], NORMALIZATION, seed=0, perplexity=30)


def _slow_divergence(points: np.ndarray, places: np.ndarray, perplexity: float) -> float:
    """The definition of van der Maaten and Hinton 2008, equations 1 to 5, pair by pair in Python's numbers."""
    num = len(points)

    def conditional(i: int, log_sigma: float) -> list[float]:
        squares = [math.dist(points[i], points[j]) ** 2 for j in range(num)]
        least = min(squares[j] for j in range(num) if j != i)
        weights = [
            0.0 if j == i else math.exp(-(squares[j] - least) / (2 * math.exp(log_sigma) ** 2)) for j in range(num)
        ]
        return [weight / sum(weights) for weight in weights]

    def excess(log_sigma: float, i: int) -> float:
        return -sum(p * math.log2(p) for p in conditional(i, log_sigma) if p > 0) - math.log2(perplexity)

    given = [conditional(i, brentq(excess, -20, 20, args=(i,), xtol=1e-13)) for i in range(num)]
    tails = [
        [0.0 if i == j else 1 / (1 + math.dist(places[i], places[j]) ** 2) for j in range(num)] for i in range(num)
    ]
    total = sum(map(sum, tails))
    divergence = 0.0
    for i in range(num):
        for j in range(num):
            p = (given[i][j] + given[j][i]) / (2 * num)
            if p > 0:
                divergence += p * math.log(p / (tails[i][j] / total))
    return divergence


@pytest.mark.parametrize(("num", "perplexity"), [(5, 1.2), (9, 2.5), (24, 5.0)])
def test_the_divergence_is_that_of_the_definition(num, perplexity):
    stream = np.random.default_rng(num)
    points = np.cumsum(stream.normal(size=(num, 6)), axis=0)
    for spread in (0.1, 3.0, 500.0):
        places = spread * stream.normal(size=(num, 2))
        wanted = _slow_divergence(points, places, perplexity)
        assert map_divergence(affinities(points, perplexity), places) == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("num", [6, 30])
def test_the_divergence_reported_is_that_of_the_map_reported(num):
    points = np.cumsum(np.random.default_rng(3).normal(size=(num, 6)), axis=0)
    perplexity = min(30.0, (num - 1) / 3)
    found = embed(points, seed=0, perplexity=30.0, max_steps=5000, name="map")
    assert found.perplexity == perplexity
    assert found.divergence == pytest.approx(_slow_divergence(points, found.coordinates, perplexity), rel=1e-8)
    assert found.divergence >= 0
    assert found.converged


def test_affinities_are_probabilities_of_the_perplexity_even_between_equidistant_points():
    for points in (np.random.default_rng(0).normal(size=(12, 4)), np.eye(6), 1e-200 * np.eye(6)):
        joint = affinities(points, 2.0)
        assert joint.sum() == pytest.approx(1)
        assert (np.diag(joint) == 0).all()
        np.testing.assert_array_equal(joint, joint.T)


def test_a_map_like_its_points_has_no_divergence():
    # Equidistant points on a triangle are as near each other as their points are.
    angle = 2 * np.pi * np.arange(3) / 3
    assert map_divergence(affinities(np.eye(3), 2.0), np.stack([np.cos(angle), np.sin(angle)], axis=1)) < 1e-12


def test_equal_points_are_found_by_their_distances():
    points = np.random.default_rng(0).normal(size=(4, 50))[[0, 1, 0, 2, 3, 1, 1]]
    products = points @ points.T
    sizes = np.diag(products)
    first, which = different_points(sizes[:, None] + sizes - 2 * products, sizes)
    assert first.tolist() == [0, 1, 3, 4]
    assert which.tolist() == [0, 1, 0, 2, 3, 1, 1]
    near = points + 1e-4 * np.random.default_rng(1).normal(size=points.shape)
    assert different_points(cdist(near, near, "sqeuclidean"), np.square(near).sum(1))[0].tolist() == list(range(7))


def test_equal_networks_share_a_place():
    points, _ = _clusters(4)
    found = tsne_map(torch.cat([points, points[[0, 5]]]), NORMALIZATION, seed=0, perplexity=3)
    alone = tsne_map(points, NORMALIZATION, seed=0, perplexity=3)
    assert found["num_different"] == 12
    for axis in ("x", "y"):
        np.testing.assert_array_equal(found[axis][12:], found[axis][[0, 5]])
        np.testing.assert_array_equal(found[axis][:12], alone[axis])
    assert found["kl_divergence"] == alone["kl_divergence"]
    with pytest.raises(InputError, match="a map of 9 networks, only 3 of which differ: give at least 5"):
        tsne_map(points[[0, 1, 2] * 3], NORMALIZATION, seed=0, perplexity=3)
