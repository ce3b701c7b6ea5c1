"""Loss and metrics on several data sets at one point, sharing one forward pass per batch if possible."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basinscope.errors import InputError
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import LossFunction
from basinscope.landscape.module.passes import EMPTY, Passes
from basinscope.landscape.module.twin import Twin


class Scores:
    """Evaluates every function on every data set at the copy's current weights.

    Args:
        twin: Working copy of the network.
        passes: Iterates over batches.
        sets: Functions that start a pass over each data set, by name.
        functions: The loss and the metrics, by name.
    """

    def __init__(
        self, twin: Twin, passes: Passes, sets: Mapping[str, Begin], functions: Mapping[str, LossFunction]
    ) -> None:
        self.twin, self.passes, self.sets, self.functions = twin, passes, sets, functions

    @torch.no_grad()
    def here(self) -> Float[np.ndarray, "sets functions"]:
        """Means over each data set.

        Raises:
            InputError: A metric fails or returns none of the forms accepted for a loss, or a data set is empty.
        """
        return np.stack([self._of(name, begin) for name, begin in self.sets.items()])

    def _of(self, name: str, begin: Begin) -> Float[np.ndarray, " functions"]:
        sums, counts = np.zeros(len(self.functions)), np.zeros(len(self.functions))

        def answers(part: Any, where: str, batch: Any) -> list[tuple[float, float]]:
            with _remembering(self.twin.copy):
                sums = []
                for function in self.functions.values():
                    with function.explained(where, batch, widened=bool(self.twin.widened)):
                        answer = function(self.twin.copy, part)
                        sums.append((float(answer.total.detach()), answer.count))
                return sums

        of = f" of {name!r}" if len(self.sets) > 1 else ""
        for number, batch in enumerate(self.passes.batches(begin), start=1):
            where = f"batch {number}{of}"
            for pairs in self.passes.pieces("scores", batch, lambda part, w=where, b=batch: answers(part, w, b)):
                parts = np.array(pairs)
                sums, counts = sums + parts[:, 0], counts + parts[:, 1]
        if not counts.all():
            raise InputError(f"batches[{name!r}]: {EMPTY}" if len(self.sets) > 1 else EMPTY)
        return sums / counts

    def settle(self) -> bool:
        """Decide how batches are weighted in the means of metrics, after a pass; return whether this changes them.

        Raises:
            InputError: A metric returns a sum, or weights remain unknown.
        """
        changes = False
        with torch.no_grad():
            for function in self.functions.values():
                changes |= function.counting.settle(
                    lambda part, f=function: f.value(self.twin.copy, part), modified=self.passes.lender.modified
                )
        return changes

    def refuse_undefined(self, found: Float[np.ndarray, "sets functions"]) -> None:
        """Refuse scores at the current weights that are not finite.

        Raises:
            InputError: A score is not finite; the message names it and its data set.
        """
        for row, column in np.argwhere(~np.isfinite(found)):
            metric, name = list(self.functions)[column], list(self.sets)[row]
            value = float(found[row, column])
            raise InputError(f"{metric} of {name} at the network's current weights is {value}; it must be finite there")


@contextlib.contextmanager
def _remembering(model: nn.Module) -> Iterator[None]:
    """Return the outputs of the first call again if the model is called a second time with the same tensors."""
    plain, latest = model.forward, _Call()
    if "forward" in vars(model):  # a replaced forward may have side effects
        yield
        return

    def forward(*args: Any, **kwargs: Any) -> Any:
        if not latest.answers(args, kwargs):
            latest.remember(args, kwargs, plain(*args, **kwargs))
        return latest.outputs

    model.forward = forward
    try:
        yield
    finally:
        del model.forward


class _Call:
    """Arguments and outputs of one call of a model."""

    def __init__(self) -> None:
        self.arguments: list[Any] = []
        self.names: list[str] = []
        self.outputs: Any = None
        self.version = -1

    def remember(self, args: Any, kwargs: Any, outputs: Any) -> None:
        self.arguments, self.names, self.outputs = [*args, *kwargs.values()], list(kwargs), outputs
        self.version = outputs._version if isinstance(outputs, Tensor) and not outputs.is_inference() else -1

    def answers(self, args: Any, kwargs: Any) -> bool:
        """Whether the arguments are the same tensors and the output has not been modified since."""
        given = [*args, *kwargs.values()]
        same = len(given) == len(self.arguments) and all(a is b for a, b in zip(given, self.arguments, strict=True))
        return self.version >= 0 and same and list(kwargs) == self.names and self.outputs._version == self.version
