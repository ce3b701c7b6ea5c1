import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from basinscope.errors import InputError
from basinscope.landscape.normalize import Normalization
from basinscope.models.mlp import MLP
from basinscope.probes.embedding import NUM_COMPONENTS, tsne_map

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
