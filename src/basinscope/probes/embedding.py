"""Maps of networks: their weights, reduced by PCA and embedded in the plane by t-SNE."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.normalize import Normalization
from basinscope.results.convert import dataset

NUM_COMPONENTS = 50
_FEWEST = 5


def refuse_few(num: int) -> None:
    """Refuse a map of too few networks.

    Raises:
        InputError: There are fewer than 5.
    """
    if num < _FEWEST:
        raise InputError(f"a map of {num} networks: give at least {_FEWEST}")


def embed(
    reduced: Float[np.ndarray, "points components"], *, seed: int, perplexity: float
) -> tuple[Float[np.ndarray, "points 2"], float]:
    """Embed points in the plane by t-SNE, on one thread for reproducibility.

    Returns:
        Their coordinates, and the Kullback–Leibler divergence.

    Raises:
        InputError: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise InputError("t-SNE needs scikit-learn: pip install scikit-learn") from error
    from threadpoolctl import threadpool_limits

    tsne = TSNE(
        2,
        perplexity=min(perplexity, (len(reduced) - 1) / 3),
        init="pca",
        learning_rate="auto",
        random_state=seed % 2**32,
        n_jobs=1,
    )
    with threadpool_limits(1):
        return tsne.fit_transform(reduced).astype(np.float64), float(tsne.kl_divergence_)


def tsne_map(
    points: Float[Tensor, "points params"], normalization: Normalization, *, seed: int, perplexity: float
) -> xr.Dataset:
    """Embed parameter vectors in the plane by t-SNE.

    The moved tensors (weights, not biases) are projected on their first 50 principal components, then embedded by
    t-SNE on one thread. The map preserves neighbourhoods, not distances.

    Args:
        points: Parameter vectors of one architecture.
        normalization: Selects the tensors that count.
        seed: Seed of the embedding.
        perplexity: Effective number of neighbours, capped at a third of the points.

    Returns:
        A `map` dataset.

    Raises:
        InputError: There are fewer than 5 points.

    References:
        van der Maaten and Hinton 2008; Huang et al. 2019, arXiv 1906.03291, figure 1.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    num = len(points)
    refuse_few(num)
    weights = normalization.moved(points).double().cpu().numpy()
    with threadpool_limits(1):
        pca = PCA(min(NUM_COMPONENTS, num - 1, weights.shape[1]), svd_solver="full")
        reduced = pca.fit_transform(weights)
    coordinates, divergence = embed(reduced, seed=seed, perplexity=perplexity)
    return dataset(
        "map",
        {
            "x": coordinates[:, 0],
            "y": coordinates[:, 1],
            "explained_variance": float(pca.explained_variance_ratio_.sum()),
            "kl_divergence": divergence,
        },
        seed=str(seed),
    )
