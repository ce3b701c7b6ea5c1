"""Passes over batches, which are halved and retried if memory runs out; each meets the network's own buffers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from basinscope.errors import InputError
from basinscope.landscape.module.batches import to_device
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.lending import Lender
from basinscope.landscape.module.loss import Answer, first_line
from basinscope.landscape.module.samples import in_pieces, layout_of
from basinscope.landscape.module.twin import Twin, clear
from basinscope.memory import is_out_of_memory, release

_log = logging.getLogger(__name__)
T = TypeVar("T")
EMPTY = "batches is empty: the mean is undefined"


class Passes:
    """Iterates over a data set batch by batch, on the network's device.

    Args:
        twin: Working copy of the network; its gradients are cleared before a failed piece is retried.
    """

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.most: dict[str, int] = {}
        """Samples per forward pass, by kind of pass, for those that ran out of memory."""
        self.num_batches = 0
        """Number of batches of the latest complete pass."""
        self.lender = Lender()

    def batches(self, begin: Begin) -> Iterator[Any]:
        """Batches of one pass, on the network's device."""
        device = self.twin.device
        num = 0
        for batch in begin():
            num += 1
            yield to_device(batch, device, self.twin.widened)
        self.num_batches = num

    def each(self, kind: str, begin: Begin, work: Callable[[Any], T]) -> Iterator[T]:
        """Apply `work` to every batch, in pieces if memory has run out."""
        for batch in self.batches(begin):
            yield from self.pieces(kind, batch, work)

    def sums(self, begin: Begin, answer: Callable[[Any], Answer]) -> tuple[float, float]:
        """Sum of the losses over all batches, and the count.

        Raises:
            InputError: The count is zero.
        """
        total = count = 0.0
        for found in self.each("loss", begin, answer):
            total, count = total + float(found.total.detach()), count + found.count
        if not count:
            raise InputError(EMPTY)
        return total, count

    def first(self, begin: Begin, answer: Callable[[Any], Answer]) -> tuple[float, float]:
        """Mean loss of the first batch with a count, and that count.

        Raises:
            InputError: There is none.
        """
        for batch in self.batches(begin):
            sums = [(float(a.total.detach()), a.count) for a in self.pieces("loss", batch, answer)]
            if count := sum(count for _, count in sums):
                return sum(total for total, _ in sums) / count, count
        raise InputError(EMPTY)

    def pieces(self, kind: str, batch: Any, work: Callable[[Any], T]) -> Iterator[T]:
        """Apply `work` to a batch, or to halves of it if memory runs out.

        Raises:
            InputError: Not even a single sample fits, or the batch cannot be split.
        """
        waiting = [batch] if kind not in self.most else in_pieces(batch, self.most[kind]) or [batch]
        while waiting:
            self.twin.buffers.restore()
            try:
                result = work(self.lender.lend(waiting[0]))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = first_line(error)
            else:
                self.lender.look()
                del waiting[0]
                yield result
                continue
            # Outside `except`, where the error no longer references the tensors of the failed pass.
            clear(self.twin.targets)
            release(self.twin.device)
            waiting[:1] = self._halved(kind, waiting[0], message)

    def _halved(self, kind: str, piece: Any, message: str) -> list[Any]:
        """Split a piece that did not fit in memory, and store the new size."""
        layout = layout_of(piece)
        num = layout.num if layout and layout.divisible else 0
        if num < 2:
            why = "with a single sample" if num else "and the batch cannot be split; use smaller batches"
            raise InputError(f"out of memory {why} ({message})")
        self.most[kind] = -(-num // 2)
        _log.warning("out of memory with %d samples at a time; continuing with %d", num, self.most[kind])
        halves = in_pieces(piece, self.most[kind])
        assert halves is not None
        return halves
