"""t-SNE map of a network and other points, such as checkpoints of several training runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from basinscope.checkpoints.points import Points, gram, moved_tensors, named_points
from basinscope.errors import InputError
from basinscope.landscape.protocol import Landscape, require
from basinscope.probes.embedding import (
    MOST_STEPS,
    NUM_COMPONENTS,
    check_options,
    different_points,
    embed,
    refuse_few,
)
from basinscope.probes.labels import labelled
from basinscope.settings import checks_settings


@checks_settings
def tsne(
    landscape: Landscape,
    *,
    points: Points,
    names: Sequence[str] | None = None,
    perplexity: float = 30.0,
    max_steps: int = MOST_STEPS,
) -> xr.Dataset:
    """Embed checkpoints and the network itself in the plane by t-SNE.

    The moved tensors are projected on their first 50 principal components, then embedded by t-SNE. The map preserves
    neighbourhoods; distances and axes mean little. It is deterministic: it starts from the first two components. Equal
    points, such as the network and the last copy of its `Recorder`, count once and share a place. `kl_divergence` is
    that of the map, computed exactly; if `converged` is 0, a warning is logged, and the map may be misleading.

    Args:
        landscape: The network; no loss is evaluated.
        points: Checkpoints, as for `slice2d`: a list, or lists by name, such as the paths of several optimizers.
        names: Labels of a list's points in figures; points with the same label are drawn as a path.
        perplexity: Effective number of neighbours, capped at a third of the other points; the result holds the value
            used.
        max_steps: Most iterations, at least 1500; it stops when 500 of them change the divergence by less than 1 %.

    Returns:
        A `weight_map` dataset; the network itself comes first.

    Raises:
        InputError: There are fewer than 5 different points, the network included, some do not fit it, weights are not
            finite, or an option is out of range.

    References:
        van der Maaten and Hinton 2008; Huang et al. 2019, arXiv 1906.03291, figure 1.
    """
    landscape = require(landscape, "tsne")
    check_options("tsne", perplexity, max_steps)
    labels, chosen = named_points("tsne", points, names, "path")
    refuse_few(1 + len(chosen))
    tensors = [moved_tensors(landscape, point, what) for what, point in chosen]
    inner = np.zeros((1 + len(tensors),) * 2)
    inner[1:, 1:] = gram(landscape.center, tensors)
    sizes = np.diag(inner)
    first, which = different_points(sizes[:, None] + sizes - 2 * inner, sizes)
    if len(first) == 1:
        raise InputError("tsne: all points are the same")
    refuse_few(len(inner), len(first))
    inner = inner[np.ix_(first, first)]
    # Principal components from inner products, so that all weights are never stored in one array.
    inner -= inner.mean(0)
    inner -= inner.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(inner)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    num = min(NUM_COMPONENTS, len(values) - 1)
    reduced = vectors[:, :num] * np.sqrt(values[:num])
    found = embed(reduced, seed=0, perplexity=perplexity, max_steps=max_steps, name="tsne")
    return labelled(
        "weight_map",
        landscape,
        {
            "marker": ["model", *labels],
            **found.values(which),
            "explained_variance": float(values[:num].sum() / values.sum()),
        },
        units={},
    )
