"""The first two passes over the batches: the loss at the center, and the checks that it can be measured.

| pass | finds                                                                                             |
|------|---------------------------------------------------------------------------------------------------|
| 1    | the loss; whether it is finite; layers of the network itself that run in place of its copy's       |
| parts of a batch | what a mean counts (see `counting`)                                                    |
| 2    | random or drifting losses; which tensors the loss depends on, from its graph                       |
| 3, if a tensor is not in the graph | whether it has an effect nevertheless                                |
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.directions import Direction, RandomDirection
from basinscope.landscape.filters import as_real, is_continuous
from basinscope.landscape.module import checks
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.hooks import drop_idle_hooks, refuse_fed
from basinscope.landscape.module.loss import Answer, LossFunction
from basinscope.landscape.module.passes import EMPTY, Passes
from basinscope.landscape.module.reach import Graph, modules_called
from basinscope.landscape.module.state import attributes_of, changed_attributes
from basinscope.landscape.module.twin import Twin

_log = logging.getLogger(__name__)
NUDGE = 0.1
"""Distance at which the effect of a tensor on the loss is tested."""
NAMED = 3
"""Tensors named in a message."""
MANY, PATIENCE = 1000, 30.0
"""Batches and seconds of a first pass after which a data set without an end is suspected."""


@dataclass(frozen=True)
class CenterLoss:
    """Outcome of the checks."""

    loss: float
    count: float
    resting: tuple[str, ...] = ()
    """Candidates that the loss does not depend on, which are not moved."""
    without_gradient: tuple[str, ...] = ()
    """Moved tensors that change the loss although it has no gradient for them."""
    reentrant: bool = False
    """Whether the network uses reentrant checkpoints."""
    passes: int = 2
    """Passes over the batches that the checks took."""


@dataclass
class _Sums:
    """Sums over the batches of a pass."""

    total: float = 0.0
    count: float = 0.0
    losses: list[float] = field(default_factory=list)
    """Mean of each batch or piece."""

    def add(self, answer: Answer) -> None:
        total = float(answer.total.detach())
        self.total, self.count = self.total + total, self.count + answer.count
        self.losses.append(total / answer.count if answer.count else total)

    @property
    def mean(self) -> float:
        if not self.count and not any(math.isnan(loss) for loss in self.losses):
            raise InputError(EMPTY)
        return self.total / self.count if self.count else math.nan


def measure_center(
    twin: Twin,
    passes: Passes,
    begin: Begin,
    functions: Sequence[LossFunction],
    *,
    asked: bool,
    direction: RandomDirection,
) -> CenterLoss:
    """Measure the loss at the center, and check that it can be measured around it.

    Args:
        twin: Working copy, with all candidates moved.
        passes: Iterates over batches.
        begin: Starts a pass over the probed data set.
        functions: The loss, and the metrics.
        asked: Whether the user has named the moved tensors, which then all are moved.
        direction: Direction along which effects are tested.

    Raises:
        InputError: The loss is not finite, random, independent of the weights, or computed with other weights than the
            copy's.
    """
    loss, named = functions[0], [(function.what, function.function) for function in functions]
    checks.refuse_training_layers(twin.model)
    loss.counting.forget()
    twin.move_to([])
    state = attributes_of(twin.copy)
    with modules_called(twin.model, twin.copy) as called:
        try:
            first = _first_pass(twin, passes, begin, loss)
        finally:  # a function that reads a hook's containers may fail because they are empty
            refuse_fed(twin.copy, named)
    checks.refuse_own_modules(twin.model, called["own"])
    passes.lender.decide()
    drop_idle_hooks(twin.copy)
    twin.buffers.restore()
    checks.refuse_not_finite(first.mean, first.losses)
    second, graph = _second_pass(twin, passes, begin, loss)
    changed = changed_attributes(twin.copy, state)
    checks.refuse_random(
        first.mean,
        second.mean,
        twin.model,
        passes,
        begin,
        lambda batch: loss(twin.copy, batch),
        changed,
        precision=checks.tolerance_of(t.dtype for t in twin.reals),
    )
    taken = 2
    if loss.counting.settle(lambda part: _value(twin, passes, loss, part), modified=passes.lender.modified):
        first, taken = _plain_pass(passes, begin, loss, twin), taken + 1
    if graph is None:
        return CenterLoss(first.mean, first.count, passes=taken)
    checks.refuse_own_parameters(twin.model, graph.leaves)
    hidden = (
        []
        if graph.reentrant
        else [f.name for f, target in zip(twin.filters, twin.targets, strict=True) if id(target) not in graph.leaves]
    )
    resting: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    flat = [] if direction.scheme == "sphere" else _without_slope(twin, passes, begin, loss, hidden)
    hidden += flat
    if hidden:
        moved = _loss_without(twin, passes, begin, loss, hidden, direction)
        taken += 1
        same = abs(moved - first.mean) <= max(2 * abs(second.mean - first.mean), 1e-12 * abs(first.mean))
        if same and called["copy"] and not (graph.leaves or _is_differentiable(twin, passes, begin, loss)):
            pass  # a loss without a gradient, such as an error rate, may be constant nearby
        elif same:
            checks.refuse_no_effect(twin, hidden, called["copy"], moves_zeros=direction.scheme == "sphere")
            resting = () if asked else tuple(hidden)
            _tell_resting(hidden, resting=not asked)
        elif graph.leaves and not flat:
            without = tuple(hidden)
    return CenterLoss(first.mean, first.count, resting, without, graph.reentrant, taken)


def _first_pass(twin: Twin, passes: Passes, begin: Begin, loss: LossFunction) -> _Sums:
    """The loss at the center; exceptions of the user's function are named with their batch."""
    sums, batch_number, began, told = _Sums(), 0, time.monotonic(), False
    for batch in passes.batches(begin):
        batch_number += 1
        if not told and batch_number > MANY and time.monotonic() - began > PATIENCE:
            told = True
            _log.warning(
                "the first pass has taken %d batches and %.0f s so far: if they never end, pass a list",
                batch_number - 1,
                time.monotonic() - began,
            )
        with loss.explained(f"batch {batch_number}", batch, widened=bool(twin.widened)):
            for answer in passes.pieces("loss", batch, lambda part: loss(twin.copy, part)):
                sums.add(answer)
            twin.buffers.note_hidden_writes()
    if not batch_number:
        raise InputError(EMPTY)
    return sums


def _plain_pass(passes: Passes, begin: Begin, loss: LossFunction, twin: Twin) -> _Sums:
    sums = _Sums()
    for answer in passes.each("loss", begin, lambda batch: loss(twin.copy, batch)):
        sums.add(answer)
    return sums


def _value(twin: Twin, passes: Passes, loss: LossFunction, part: Any) -> Any:
    """Return value of the loss for a part of a batch."""
    twin.buffers.restore()
    found = loss.value(twin.copy, passes.lender.lend(part))
    if isinstance(found, tuple):
        return found[0].detach(), found[1]
    return found.detach() if isinstance(found, Tensor) else found


def _second_pass(twin: Twin, passes: Passes, begin: Begin, loss: LossFunction) -> tuple[_Sums, Graph | None]:
    """The loss again, with graphs until every moved tensor was met; without them if that fails."""
    sums, graph, missing = _Sums(), Graph(), {id(target) for target in twin.targets}

    def with_graph(batch: Any) -> Answer:
        with twin.differentiable():
            answer = loss(twin.copy, batch)
            graph.add(answer.total)
        return Answer(answer.total.detach(), answer.count)

    try:
        for batch in passes.batches(begin):
            wanted = bool(missing - graph.leaves) and not graph.reentrant
            for answer in passes.pieces(
                "gradient" if wanted else "loss", batch, with_graph if wanted else lambda part: loss(twin.copy, part)
            ):
                sums.add(answer)
    except (InputError, RuntimeError, NotImplementedError):
        # Too large for a graph, or not differentiable: only losses can be measured.
        return _plain_pass(passes, begin, loss, twin), None
    return sums, graph


def _is_differentiable(twin: Twin, passes: Passes, begin: Begin, loss: LossFunction) -> bool:
    """Whether the loss over the first batch has a gradient for any parameter, moved or not."""
    batch = next(iter(passes.batches(begin)), None)
    graph, parameters = Graph(), [p for p in twin.copy.parameters() if is_continuous(p)]

    def look(part: Any) -> None:
        graph.add(loss(twin.copy, part).total)

    with twin.differentiable():
        for parameter in parameters:
            parameter.requires_grad_(True)
        for _ in passes.pieces("gradient", batch, look):
            pass
    return bool(graph.leaves)


def _without_slope(twin: Twin, passes: Passes, begin: Begin, loss: LossFunction, known: Collection[str]) -> list[str]:
    """Tensors whose gradient is exactly zero because another is, such as those of a low-rank adapter before training.

    Only looked for if a moved tensor is zero everywhere, so that directions scaled by norms of weights do not move it,
    or if masks exclude a whole tensor.
    """
    if all(bool(target.any()) for target in twin.targets) and not twin.rests_whole:
        return []
    slopes = [torch.zeros_like(real) for real in twin.reals]
    with twin.differentiable():
        for batch in passes.batches(begin):
            for answer in passes.pieces("gradient", batch, lambda part: loss(twin.copy, part)):
                found = torch.autograd.grad(answer.total, twin.targets, allow_unused=True)
                parts = zip(twin.filters, slopes, found, strict=True)
                slopes = [s if g is None else s + f.masked(as_real(g)).abs() for f, s, g in parts]
            if all(bool(slope.any()) for slope in slopes):
                return []
    names = [f.name for f, slope in zip(twin.filters, slopes, strict=True) if not bool(slope.any())]
    return [name for name in names if name not in known]


@dataclass(frozen=True)
class _Only:
    """A direction restricted to some tensors."""

    direction: Direction
    places: Collection[int]

    units = ""
    name = None

    def block(self, place: int) -> Tensor:
        """See `Direction`."""
        block = self.direction.block(place)
        return block if place in self.places else torch.zeros_like(block)


def _loss_without(
    twin: Twin, passes: Passes, begin: Begin, loss: LossFunction, names: Sequence[str], direction: Direction
) -> float:
    """Loss at a point where only some tensors are moved."""
    places = {index for index, f in enumerate(twin.filters) if f.name in names}
    twin.move_to([(_Only(direction, places), NUDGE)])
    return _plain_pass(passes, begin, loss, twin).mean


def _tell_resting(names: Sequence[str], *, resting: bool) -> None:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    what = "they are not moved or counted; name them in parameters= to move them" if resting else "moved as asked"
    _log.warning("the loss does not depend on %s%s: %s", ", ".join(names[:NAMED]), more, what)
