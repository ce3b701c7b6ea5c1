"""Maps of networks: their weights, reduced by PCA and embedded in the plane by t-SNE."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Float, Int
from scipy.spatial.distance import pdist, squareform
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.random_state import undisturbed
from basinscope.results.convert import Values, dataset

NUM_COMPONENTS = 50
MOST_STEPS = 5000
"""Most iterations of t-SNE by default."""
_FEWEST = 5
_FIRST_STEPS, _ROUND = 1000, 500
"""Iterations of the first optimisation, as scikit-learn's default, and of each that continues it."""
_FALL, _SMALL_FALL = 0.01, 1e-4
"""A map has converged if another round changes its divergence by less than this fraction, or by less than this."""
_SAME = 1e-12
"""Squared distance of equal points, relative to their size; rounding of inner products may explain it."""
_BISECTIONS = 100
_log = logging.getLogger(__name__)


def check_options(name: str, perplexity: float, max_steps: int) -> None:
    """Check the options of a map, before anything is read or computed.

    Raises:
        InputError: One is out of range.
    """
    if not perplexity > 0:
        raise InputError(f"{name}: perplexity = {perplexity}: must be above 0")
    if max_steps < _FIRST_STEPS + _ROUND:
        raise InputError(f"{name}: max_steps = {max_steps}: must be at least {_FIRST_STEPS + _ROUND}")


def refuse_few(num: int, num_distinct: int | None = None) -> None:
    """Refuse a map of too few networks.

    Args:
        num: Number of points.
        num_distinct: Number of different points, once it is known.

    Raises:
        InputError: There are fewer than 5.
    """
    if num < _FEWEST:
        raise InputError(f"a map of {num} networks: give at least {_FEWEST}")
    if num_distinct is not None and num_distinct < _FEWEST:
        raise InputError(
            f"a map of {num} networks, only {num_distinct} of which differ: give at least {_FEWEST} different ones"
        )


def different_points(
    squares: Float[np.ndarray, "points points"], sizes: Float[np.ndarray, " points"]
) -> tuple[Int[np.ndarray, " different"], Int[np.ndarray, " points"]]:
    """Find points that are equal, up to rounding.

    Args:
        squares: Squared distances between points.
        sizes: Squared norms of the vectors from which the distances were computed; they set the rounding error.

    Returns:
        Indices of the first of each set of equal points; and for each point, which of these it equals.
    """
    equal = squares <= _SAME * np.maximum(sizes[:, None], sizes)
    first: list[int] = []
    which = np.zeros(len(sizes), dtype=np.int64)
    for index in range(len(sizes)):
        which[index] = next((k for k, other in enumerate(first) if equal[index, other]), len(first))
        if which[index] == len(first):
            first.append(index)
    return np.array(first, dtype=np.int64), which


@dataclass(frozen=True)
class Embedding:
    """A map of different points."""

    coordinates: Float[np.ndarray, "points 2"]
    divergence: float
    """Kullback–Leibler divergence of this map; see `map_divergence`."""
    perplexity: float
    """The perplexity used."""
    converged: bool
    """Whether 500 more iterations change the divergence by less than 1 %."""

    def values(self, which: Int[np.ndarray, " all"]) -> dict[str, Values]:
        """Variables of a `map` or `weight_map`; `which` assigns a point of the map to each network."""
        return {
            "x": self.coordinates[which, 0],
            "y": self.coordinates[which, 1],
            "kl_divergence": self.divergence,
            "num_different": len(self.coordinates),
            "perplexity": self.perplexity,
            "converged": int(self.converged),
        }


def embed(
    reduced: Float[np.ndarray, "points components"],
    *,
    seed: int,
    perplexity: float,
    max_steps: int,
    name: str,
) -> Embedding:
    """Embed different points in the plane by t-SNE, on one thread for reproducibility.

    After 1000 iterations, the map is optimised in rounds of 500 until a round changes its divergence by less than 1 %
    or 10⁻⁴ nat. A round that raises it is discarded, and the learning rate halved. A warning is logged if `max_steps`
    ends before convergence.

    Args:
        reduced: The points; no two are equal.
        seed: Seed of scikit-learn.
        perplexity: Effective number of neighbours, capped at a third of the other points.
        max_steps: Most iterations.
        name: Name of the calling function, for messages.

    Raises:
        InputError: scikit-learn is not installed.
    """
    num = len(reduced)
    used = min(perplexity, (num - 1) / 3)
    if perplexity >= num:
        _log.warning(
            "%s: perplexity %g is too large for %d different points: %.3g is used; give a smaller one or more points",
            name,
            perplexity,
            num,
            used,
        )
    wanted = affinities(reduced, used)
    rate = max(num / 48, 50.0)  # as learning_rate="auto" chooses
    places = _optimised(reduced, None, seed=seed, perplexity=used, rate=rate)
    divergence, change, converged = map_divergence(wanted, places), np.inf, False
    for _ in range((max_steps - _FIRST_STEPS) // _ROUND):
        longer = _optimised(reduced, places, seed=seed, perplexity=used, rate=rate)
        then = map_divergence(wanted, longer)
        converged = abs(then - divergence) <= max(_FALL * divergence, _SMALL_FALL)
        if converged:
            break
        change = abs(then / divergence - 1) if divergence else np.inf
        if then > divergence:
            rate /= 2  # its steps are too long for so few points; the round is discarded
        else:
            places, divergence = longer, then
    if not converged:
        _log.warning(
            "%s: t-SNE has not converged: the last %d of %d iterations changed its divergence by %.1f %%; "
            "give max_steps=%d or another perplexity",
            name,
            _ROUND,
            max_steps,
            100 * change,
            2 * max_steps,
        )
    return Embedding(places, divergence, used, converged)


def _optimised(
    reduced: Float[np.ndarray, "points components"],
    start: Float[np.ndarray, "points 2"] | None,
    *,
    seed: int,
    perplexity: float,
    rate: float,
) -> Float[np.ndarray, "points 2"]:
    """Optimise a map from the first two components; or continue from a map, without early exaggeration."""
    sklearn = _sklearn()
    from threadpoolctl import threadpool_limits

    tsne = sklearn.TSNE(
        2,
        perplexity=perplexity,
        init="pca" if start is None else start.astype(np.float32),
        learning_rate=rate,
        random_state=seed % 2**32,
        n_jobs=1,
    )
    if start is not None:
        steps = "max_iter" if "max_iter" in tsne.get_params() else "n_iter"  # scikit-learn 1.5 renamed it
        tsne.set_params(early_exaggeration=1.0, **{steps: _ROUND})
    with threadpool_limits(1):
        return tsne.fit_transform(reduced).astype(np.float64)


@dataclass(frozen=True)
class _Sklearn:
    """The classes used of scikit-learn."""

    TSNE: Any
    PCA: Any


def _sklearn() -> _Sklearn:
    """Import scikit-learn without changing Python's random state, from which rich, which it imports, draws.

    Raises:
        InputError: It is not installed.
    """
    try:
        with undisturbed():
            from sklearn.decomposition import PCA
            from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise InputError("t-SNE needs scikit-learn: pip install scikit-learn") from error
    return _Sklearn(TSNE, PCA)


def affinities(
    reduced: Float[np.ndarray, "points components"], perplexity: float
) -> Float[np.ndarray, "points points"]:
    """Joint probabilities of pairs of points in t-SNE: symmetrised Gaussians of the given perplexity, over all points.

    Returns:
        Probabilities with sum 1 and zeros on the diagonal.
    """
    num = len(reduced)
    others = ~np.eye(num, dtype=bool)
    squares = squareform(pdist(reduced, "sqeuclidean"))[others].reshape(num, num - 1)
    squares -= squares.min(axis=1, keepdims=True)
    means = squares.mean(axis=1)
    precision = 1 / np.where(means > 0, means, 1.0)
    low, high = np.zeros(num), np.full(num, np.inf)
    for _ in range(_BISECTIONS):
        weights = np.exp(-squares * precision[:, None])
        totals = weights.sum(axis=1)
        entropy = np.log(totals) + precision * (squares * weights).sum(axis=1) / totals
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, precision, low), np.where(wide, high, precision)
        precision = np.where(np.isinf(high), 2 * precision, (low + high) / 2)
    weights = np.exp(-squares * precision[:, None])
    joint = np.zeros((num, num))
    joint[others] = (weights / weights.sum(axis=1, keepdims=True)).ravel()
    return (joint + joint.T) / (2 * num)


def map_divergence(wanted: Float[np.ndarray, "points points"], places: Float[np.ndarray, "points 2"]) -> float:
    """Kullback–Leibler divergence, in nats, of a map's Student-t probabilities from `affinities`: Σ p log(p/q)."""
    weights = 1 / (1 + squareform(pdist(places, "sqeuclidean")))
    np.fill_diagonal(weights, 0.0)
    found = weights / weights.sum()
    pairs = wanted > 0
    return max(float((wanted[pairs] * np.log(wanted[pairs] / found[pairs])).sum()), 0.0)


def tsne_map(
    points: Float[Tensor, "points params"],
    normalization: Normalization,
    *,
    seed: int,
    perplexity: float,
    max_steps: int = MOST_STEPS,
) -> xr.Dataset:
    """Embed parameter vectors in the plane by t-SNE.

    The moved tensors (weights, not biases) are projected on their first 50 principal components, then embedded by
    t-SNE on one thread. The map preserves neighbourhoods, not distances. Equal points count once and share a place.

    Args:
        points: Parameter vectors of one architecture.
        normalization: Selects the tensors that count.
        seed: Seed of the embedding.
        perplexity: Effective number of neighbours, capped at a third of the other points.
        max_steps: Most iterations; it stops when 500 of them change the divergence by less than 1 %.

    Returns:
        A `map` dataset.

    Raises:
        InputError: There are fewer than 5 different points.

    References:
        van der Maaten and Hinton 2008; Huang et al. 2019, arXiv 1906.03291, figure 1.
    """
    check_options("tsne_map", perplexity, max_steps)
    pca_class = _sklearn().PCA
    from threadpoolctl import threadpool_limits

    refuse_few(len(points))
    weights = normalization.moved(points).double().cpu().numpy()
    first, which = different_points(squareform(pdist(weights, "sqeuclidean")), np.square(weights).sum(axis=1))
    refuse_few(len(points), len(first))
    weights = weights[first]
    with threadpool_limits(1):
        pca = pca_class(min(NUM_COMPONENTS, len(first) - 1, weights.shape[1]), svd_solver="full")
        reduced = pca.fit_transform(weights)
    found = embed(reduced, seed=seed, perplexity=perplexity, max_steps=max_steps, name="tsne_map")
    explained = float(pca.explained_variance_ratio_.sum())
    return dataset("map", {**found.values(which), "explained_variance": explained}, seed=str(seed))
