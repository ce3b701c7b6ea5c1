"""Permutes the units of another network so that its weights are closest to those of the center."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from basinscope.checkpoints.points import Minimum, moved_tensors, state_of, towards
from basinscope.errors import InputError
from basinscope.landscape.module.permutable import Permutable
from basinscope.landscape.module.twin import Effective
from basinscope.landscape.protocol import Landscape, require
from basinscope.landscape.symmetry.matching import Matching, Permutation
from basinscope.progress import Watcher, watched
from basinscope.settings import checks_settings

_log = logging.getLogger(__name__)
_NUM_NAMED = 3
"""Names listed in a message."""
_SAME = 1e-4
"""Relative change of the loss by permuting its units, above which a permutation is refused."""


@checks_settings
def align(landscape: Landscape, other: Minimum, *, seed: int = 0, progress: Watcher = None) -> dict[str, Tensor]:
    """Permute the units of another network so that its weights are closest to the center's.

    Networks that differ only in the order of their hidden units compute the same function, but a straight line between
    them crosses a barrier. Which units can be permuted is found by following every axis through a forward pass of the
    loss; residual connections, normalisation, convolutions in groups, recurrent gates and attention heads included. An
    operation that is not understood keeps the order of its units, and so do the network's outputs, tensors that the
    batches do not reach, and, in attention, the entries of a head apart from those of the others. On the given batches
    the result computes what the other network computes: loss and metrics of every data set are verified, in two passes.

    The search is one of coordinate descent: for networks that are not permuted copies it ends in a local optimum.

    Memory: the activations of one pass over the first batches, and both networks' weights on the CPU.

    Args:
        landscape: An `Objective` around one network.
        other: The other network of the same architecture: a state dictionary, a network, or a file.
        seed: Seed of the order in which further searches go through the layers.
        progress: True or None shows a line with the time left, False none; a function receives the finished share.

    Returns:
        Tensors of the permuted network by name, for `linear_path`, `connect` or `slice2d(directions="between")`; and,
        unless weights are parametrised, for `load_state_dict`.

    Raises:
        InputError: The other network does not fit, no units can be permuted, or permuting them changes its loss.

    References:
        Ainsworth, Hayase and Srinivasa 2023, arXiv 2209.04836; Entezari et al. 2022, arXiv 2110.06296.
    """
    around: Any = require(landscape, "align", "permutable", "loss_of")
    with towards(landscape, False) as (needed, _), watched("align", progress) as tell:
        moved_tensors(landscape, other, "other", needed=needed)  # refuses what does not fit
        units = around.permutable()
        # What the other network lacks is taken from the center.
        state = {**units.weights, **units.statistics, **state_of(landscape, other, "other", needed=needed)}
        if not units.symmetry.sizes:
            raise InputError(f"align: no units of {landscape.network} can be permuted{_because(units.unknown)}")
        if units.unreached:
            _log.warning(
                "align: the batches do not reach %s: what the network computes with them may change",
                ", ".join(units.unreached[:_NUM_NAMED]) + (", …" if len(units.unreached) > _NUM_NAMED else ""),
            )
        found = _permuted(units, state, Matching(units.symmetry, units.weights, state).best(seed, tell))
        around.check_scores()  # decides how metrics are weighted
        before, after = (around.scores_of(tensors) for tensors in (state, found))
    changed = ~np.isclose(before, after, rtol=_SAME, atol=1e-9, equal_nan=True)
    if changed.any():
        row, column = np.argwhere(changed)[0]
        sets, scores = around.score_names
        of = f" of {sets[row]}" if len(sets) > 1 else ""
        raise InputError(
            f"align: permuting the units of other changes its {scores[column]}{of} from {before[row, column]:.6g} to "
            f"{after[row, column]:.6g}: the order of some units matters, in a way that passes over the first batches "
            "do not show; measure without align"
        )
    return found


def _permuted(units: Permutable, state: Mapping[str, Tensor], permutations: Sequence[Permutation]) -> Effective:
    """The other network with permuted units, under all names of tied tensors."""
    found = units.symmetry.permuted(state, permutations)
    for name, first in units.ties.items():
        if first in found:
            found[name] = found[first]
    return Effective(found)


def _because(unknown: tuple[str, ...]) -> str:
    """Why no units can be permuted."""
    named = [name for name in unknown if "loss" not in name]
    if not named:
        return ": it has no hidden units whose order is free"
    return f" (operations whose axes are not followed: {', '.join(named)})"
