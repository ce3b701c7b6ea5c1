"""Finds the units of a network that can be permuted without changing what it computes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import LossFunction
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.twin import Twin
from basinscope.landscape.names import is_statistic
from basinscope.landscape.symmetry.matching import Symmetry
from basinscope.landscape.symmetry.recording import Recording
from basinscope.landscape.symmetry.rules import RULES


@dataclass(frozen=True)
class Permutable:
    """Units of a network whose order does not matter."""

    symmetry: Symmetry
    weights: Mapping[str, Tensor]
    """The network's parameters by name; not copies."""
    statistics: Mapping[str, Tensor]
    """Its running statistics, which are permuted with its units."""
    ties: Mapping[str, str]
    """Further names of tied parameters, with the first name of each."""
    unreached: tuple[str, ...]
    """Parameters that no function reaches on these batches."""
    unknown: tuple[str, ...]
    """Operations of the forward pass that fixed the order of their tensors' entries, because no rule describes them."""


def permutable_axes(twin: Twin, passes: Passes, sets: Sequence[Begin], functions: Sequence[LossFunction]) -> Permutable:
    """Follow the axes of tensors through the loss and all metrics of the first batch of every data set.

    The order of the network's outputs stays, and that of tensors that no function reaches.
    """
    copy = twin.copy
    parameters = dict(copy.named_parameters())
    # Other buffers are constants, and not those of another network.
    statistics = {name: t for name, t in copy.named_buffers() if is_statistic(name)}
    first = {id(tensor): name for name, tensor in parameters.items()}
    ties = {
        name: first[id(tensor)]
        for name, tensor in copy.named_parameters(remove_duplicate=False)
        if name != first[id(tensor)]
    }
    twin.move_to([])
    recording = Recording(RULES, parameters | statistics)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", "TF32 acceleration on top of oneDNN")
        # Recurrent layers in one operation of oneDNN would hide their gates.
        hook = copy.register_forward_hook(lambda _, __, outputs: recording.fix(_direct(outputs)))
        try:
            with torch.backends.mkldnn.flags(enabled=False), recording:
                for begin in sets:
                    for function in functions:
                        passes.first(begin, lambda batch, f=function: f(copy, batch))
        finally:
            hook.remove()
    named = parameters | statistics
    unreached = tuple(name for name, tensor in named.items() if not recording.reached(tensor))
    recording.fix([named[name] for name in unreached])
    unreached = tuple(name for name in unreached if name in parameters)
    symmetry, unknown = Symmetry.of(recording.named), tuple(sorted(recording.unknown))
    return Permutable(symmetry, parameters, statistics, ties, unreached, unknown)


def _direct(outputs: Any) -> list[Any]:
    """Tensors that a network returns, but not those inside further structures, such as caches."""
    if isinstance(outputs, Mapping):
        parts = list(outputs.values())
    else:
        parts = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    return [part for part in parts if isinstance(part, Tensor)]
