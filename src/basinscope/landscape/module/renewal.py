"""Renews BatchNorm's running statistics at the current weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from basinscope.errors import InputError, with_article
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import described, first_line
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.twin import Twin
from basinscope.memory import is_out_of_memory

BatchNorm = nn.modules.batchnorm._BatchNorm


class Renewal:
    """Computes the running statistics of BatchNorm layers as means over batches, weighted by what they count.

    Args:
        twin: Working copy of the network.
        passes: Iterates over batches.
        begin: Starts a pass over the batches that the statistics are computed from.
        answer: Loss of one batch; only its forward pass is needed.

    References:
        Izmailov et al. 2018, arXiv 1803.05407, section 3.2 (statistics of averaged weights).
    """

    def __init__(self, twin: Twin, passes: Passes, begin: Begin, answer: Callable[[Any], Any]) -> None:
        self.twin, self.passes, self.begin, self.answer = twin, passes, begin, answer
        self.layers = {
            name: module
            for name, module in twin.copy.named_modules()
            if isinstance(module, BatchNorm) and module.running_mean is not None
        }

    @contextlib.contextmanager
    def here(self) -> Iterator[None]:
        """Context in which the statistics are those at the current weights, at the cost of one more pass.

        Raises:
            InputError: A batch has too few samples for statistics.
        """
        with self.twin.buffers.replaced(self._statistics()):
            yield

    def _answered(self, batch: Any) -> Any:
        """Loss of one batch.

        Raises:
            InputError: It cannot be computed, because the batch has one sample, or differs from those of the objective.
        """
        try:
            return self.answer(batch)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # the user's function can fail in any way
            if is_out_of_memory(error):
                raise
            if "more than 1 value per channel" in str(error):
                why = f"BatchNorm has no statistics of a batch with one sample: {first_line(error)}"
                raise InputError(f"recalibrate: {why}") from error
            raise InputError(
                f"recalibrate: the loss function fails on {with_article(described(batch))}: {type(error).__name__}: "
                f"{first_line(error)}; pass batches like those of the objective, or True for these"
            ) from error

    def _statistics(self) -> dict[str, torch.Tensor]:
        """Mean and variance of each layer's inputs, by buffer name."""
        written = self.twin.buffers.written
        before = {name: (layer.training, layer.momentum) for name, layer in self.layers.items()}
        sums: dict[str, torch.Tensor] = {}
        try:
            for layer in self.layers.values():
                layer.train()
                layer.momentum = 1.0  # the statistics after a batch are the batch's own

            def statistics(batch: Any) -> dict[str, torch.Tensor]:
                weight = float(self._answered(batch).count)
                found = {"": torch.tensor(weight, dtype=torch.float64)}
                for name, layer in self.layers.items():
                    for part in ("running_mean", "running_var"):
                        found[f"{name}.{part}"] = weight * getattr(layer, part).detach().double()
                return found

            with torch.no_grad():
                for found in self.passes.each("loss", self.begin, statistics):
                    sums = {name: sums[name] + value if sums else value for name, value in found.items()}
        finally:
            for name, layer in self.layers.items():
                layer.training, layer.momentum = before[name]
            self.twin.buffers.restore()
            self.twin.buffers.written = written
        total = float(sums.pop("", torch.tensor(0.0)))
        if not total:
            raise InputError("recalibrate: there are no batches, or they count nothing")
        return {name: value / total for name, value in sums.items()}
