"""Passes over batches; where memory runs out, batches are halved and tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from basinscope.errors import InputError
from basinscope.landscape.module.batches import cut, length, to_device
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import first_line
from basinscope.landscape.module.twin import Twin, clear
from basinscope.memory import is_out_of_memory, release

_log = logging.getLogger(__name__)
T = TypeVar("T")
EMPTY = "batches is empty: there is nothing to take the mean of"


class Passes:
    """Goes over a data set batch by batch, on the network's device.

    Args:
        twin: The network at work; its gradients are dropped before a failed piece is tried again.
    """

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.most: dict[str, int] = {}
        """By kind of pass, samples that go through the network together, where memory has run out."""
        self.num_batches = 0
        """Batches of the latest pass that went to its end."""

    def batches(self, begin: Begin) -> Iterator[Any]:
        """Batches of one pass, on the network's device."""
        device = self.twin.device
        num = 0
        for batch in begin():
            num += 1
            yield to_device(batch, device)
        self.num_batches = num

    def each(self, kind: str, begin: Begin, work: Callable[[Any], T]) -> Iterator[T]:
        """Do something with every batch, in pieces where memory has run out."""
        for batch in self.batches(begin):
            yield from self.pieces(kind, batch, work)

    def pieces(self, kind: str, batch: Any, work: Callable[[Any], T]) -> Iterator[T]:
        """Do something with a batch; where memory runs out, with halves of it.

        Raises:
            InputError: Not even a single sample fits, or the batch cannot be cut.
        """
        waiting = [batch] if kind not in self.most else cut(batch, self.most[kind]) or [batch]
        while waiting:
            try:
                found = work(waiting[0])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = first_line(error)
            else:
                del waiting[0]
                yield found
                continue
            # Out here, where the error no longer holds on to the tensors of the failed pass.
            clear(self.twin.targets)
            release(self.twin.device)
            waiting[:1] = self._halved(kind, waiting[0], message)

    def _halved(self, kind: str, piece: Any, message: str) -> list[Any]:
        """Halve a piece for which memory did not suffice, and remember the size."""
        num = length(piece) if cut(piece, 1) else 0
        if num < 2:
            why = "with a single sample" if num else "and the batch cannot be cut; make smaller batches"
            raise InputError(f"out of memory {why} ({message})")
        self.most[kind] = -(-num // 2)
        _log.warning("out of memory with %d samples at a time; going on with %d", num, self.most[kind])
        halves = cut(piece, self.most[kind])
        assert halves is not None
        return halves
