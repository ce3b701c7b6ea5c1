"""Mean loss of a network over batches, at and around its current weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from basinscope.landscape.directions import Center, Direction, RandomDirection, Scheme
from basinscope.landscape.filters import Choice as Which
from basinscope.landscape.filters import Filters, OneDim, one_dim_choice
from basinscope.landscape.masks import Masks
from basinscope.landscape.module import checks
from basinscope.landscape.module.batches import Batches
from basinscope.landscape.module.conditions import Conditions, autocast_around
from basinscope.landscape.module.counting import Count
from basinscope.landscape.module.data_sets import LOSS, checked_metrics, data_sets
from basinscope.landscape.module.derivatives import Derivatives
from basinscope.landscape.module.described import Described
from basinscope.landscape.module.first_passes import measure_center
from basinscope.landscape.module.instance import Instance
from basinscope.landscape.module.journal import Journal, fingerprint_of, place_of
from basinscope.landscape.module.line import ModuleLine
from basinscope.landscape.module.loss import Answer, Loss, loss_functions
from basinscope.landscape.module.many import Many
from basinscope.landscape.module.many_points import ManyPoints
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.rounding import rounding_of
from basinscope.landscape.module.scores import Scores
from basinscope.landscape.module.settings import check_settings
from basinscope.landscape.module.twin import Precision, Twin, bits_of, version_of
from basinscope.landscape.module.whole import Whole
from basinscope.landscape.protocol import DIFFERENCES, SECOND_DERIVATIVES, Line, Step
from basinscope.settings import checks_settings


class Objective(Described, ManyPoints, Whole):
    """Mean loss of a network over batches, at and around its current weights.

    Points are evaluated in a copy: the network itself and all random states stay unchanged. Directions are regenerated
    from their seeds at each evaluation, so memory is limited to the network, one copy and one pass; directions of small
    networks are cached, in up to 32 MiB.

    Small networks are evaluated at many points at once, by batched products or `torch.func.vmap`, if a short trial
    finds that correct and faster; otherwise points are evaluated one by one. `evaluation` names the method, and results
    store it.

    Before the first measurement, two passes over the batches must agree. If the network is trained further or reloaded,
    the next measurement uses its new weights.

    Args:
        model: Any `nn.Module`, in eval mode. Batches are moved to its device.
        loss_fn: `loss_fn(model, batch)` returns each sample's loss, `(sum of losses, count)`, or the mean over the
            batch. It must use the model passed to it.
        batches: A list, a `DataLoader`, or a function that returns an iterator; the same in each pass. Or several of
            these by name, such as `{"train": …, "test": …}`: the first is probed; lines and planes score all of them.
        parameters: Tensors that directions move: name patterns such as `"*.lora_*"`, or a function of name and tensor.
            Default: those that are not frozen.
        normalization: `filter`, `layer`, `gaussian_filter` or `sphere`; see `RandomDirection`.
        one_dim: `moved` also moves biases and other tensors with one axis; see `landscape.filters`.
        unit: Unit of the loss for results and axis labels, such as `nat`.
        journal: File to which every evaluation along random directions is appended; interrupted slices and radii resume
            from it with bit-identical results. Points are then evaluated one by one unless `points_at_once` is set.
            Several networks can share a file. Default: none.
        metrics: Further functions like `loss_fn` by name, such as `{"error": f}`; lines and planes evaluate them in the
            same pass.
        points_at_once: Number of points evaluated together; 1 evaluates one by one. Default: decided by the trial.
        count: What a mean over a batch counts: a function of the batch, or the name of a field. Default: samples,
            graphs, or the labels of a language model, confirmed on parts of a batch.
        precision: `single` evaluates bfloat16 and float16 networks in float32, so that no short step is lost in
            rounding; `own` evaluates them in their own precision, and refuses steps that are lost.
        masks: Entries that rest, which are not perturbed or counted in n: tensors of 0 (rests) and 1 by parameter name,
            or `"zeros"` for every entry that is exactly 0. Entries pruned by `torch.nn.utils.prune` always rest.
        instance: For a network that cannot be copied: a function without arguments that makes another instance of it,
            or that instance, which is then modified. Gets the network's weights and is measured in its place.

    If memory runs out, batches are halved along their first axis and retried. A warning is logged, and later passes use
    the smaller batch size.

    Attributes:
        num_evaluations: Passes over the batches so far, one per point; derivatives are not counted.

    Raises:
        InputError: The batches can be iterated only once, nothing can be moved, a mask does not fit, the network cannot
            be copied, or the instance is one of another network.

    Example:
        >>> objective = Objective(model, lambda model, batch: cross_entropy(model(batch[0]), batch[1]), batches)
        >>> objective.center_loss
    """

    nonnegative = False

    @checks_settings
    def __init__(
        self,
        model: nn.Module,
        loss_fn: Loss,
        batches: Batches | Mapping[str, Batches],
        *,
        parameters: Which | None = None,
        normalization: Scheme = "filter",
        one_dim: OneDim | str = "fixed",
        unit: str = "",
        journal: str | Path | None = None,
        metrics: Mapping[str, Loss] | None = None,
        points_at_once: int | None = None,
        count: Count | None = None,
        precision: Precision = "single",
        masks: Masks = None,
        instance: Instance | None = None,
    ) -> None:
        check_settings(model, loss_fn, points_at_once=points_at_once, masks=masks)
        self.model, self.unit, self.network = model, unit, type(model).__name__
        self.scheme: Scheme = normalization
        self.one_dim: OneDim = one_dim_choice(one_dim, stacklevel=4)  # past the check of settings
        self._sets = data_sets(batches)
        self._begin = next(iter(self._sets.values()))
        self.num_evaluations = 0
        self._conditions = Conditions()
        self._functions = loss_functions(loss_fn, checked_metrics(metrics), self._conditions, model, count)
        self.evaluated_with = {"count": count, "precision": precision, "masks": masks, "instance": instance}
        self._twin = Twin(
            model, parameters=parameters, one_dim=self.one_dim, precision=precision, masks=masks, instance=instance
        )
        self._asked = parameters is not None
        self._passes = Passes(self._twin)
        self._derivatives = Derivatives(self._twin, self._passes, self._begin, self._answer)
        self._scores = Scores(self._twin, self._passes, self._sets, self._functions)
        self._version: tuple[Any, ...] | None = None
        self._bits: tuple[int, ...] = ()
        self._center_loss, self._count = math.nan, 0.0
        self._resolution: float | None = None
        self._renewal = None
        self._journal_path = None if journal is None else Path(journal)
        self._journal: Journal | None = None
        self._held = 0
        """Number of nested `held` contexts."""
        # The trial depends on timings; results that resume from a journal must not.
        at_once = 1 if journal is not None and points_at_once is None else points_at_once
        self._many = Many(
            self._twin, self._passes, self._sets, self._functions, at_once, repeatable=journal is not None
        )
        self._rows: tuple[Sequence[Direction], Tensor] | None = None
        """Latest directions and their matrix, one row each; cached while the objective is held."""
        if self._journal_path is not None:
            Journal(self._journal_path, "")  # refuses an invalid file before anything is measured

    def __repr__(self) -> str:
        sets = "" if len(self._sets) == 1 else f", data sets {', '.join(self._sets)}"
        scores = "" if len(self._functions) == 1 else f", metrics {', '.join(list(self._functions)[1:])}"
        return f"Objective({self.network}, {self.num_moved:,} moved entries, {self.scheme} normalization{sets}{scores})"

    @property
    def filters(self) -> tuple[Filters, ...]:
        """The moved tensors, and how each is split; after `check`, without those that the loss does not depend on."""
        return self._twin.filters

    @property
    def center(self) -> Center:
        """The moved tensors at the network's current weights."""
        return self._twin.center

    @property
    def device(self) -> torch.device:
        """Device of the network, or of its first moved tensor if there are several."""
        return self._twin.device

    @property
    def center_loss(self) -> float:
        """Mean loss at the network's current weights.

        Raises:
            InputError: See `check`.
        """
        self.check()
        return self._center_loss

    @property
    def num_samples(self) -> float:
        """Count of one pass: samples, or the sum of the counts that the loss function returns.

        Raises:
            InputError: See `check`.
        """
        self.check()
        return self._count

    @property
    def resolution(self) -> float:
        """Rounding of the loss: its second difference next to the center, or its precision if that is larger.

        Raises:
            InputError: See `check`.
        """
        self.check()
        if self._resolution is None:
            with self._quiet():
                self._resolution = rounding_of(self._mean, self._twin.center, self._center_loss)
        return self._resolution

    def check(self) -> None:
        """Check that the loss can be measured; fast if nothing has changed since the last check.

        Raises:
            InputError: The loss is random, not finite, or independent of the weights; the message names the usual
                causes.
        """
        version = self._current()
        if version == self._version and bits_of(self.model, self._twin.masks) == self._bits:
            return
        self._twin.follow()
        self._rows = None
        self._many.forget()
        bits = bits_of(self.model, self._twin.masks)
        with self._quiet():
            found = measure_center(
                self._twin,
                self._passes,
                self._begin,
                list(self._functions.values()),
                asked=self._asked,
                direction=RandomDirection(self._twin.center, 0, 0, self.scheme),
            )
        self._derivatives.forget(reentrant=found.reentrant, without_gradient=found.without_gradient)
        self._resolution = None
        if found.resting:
            self._twin.restrict(found.resting)
        self._center_loss, self._count, self._version, self._bits = found.loss, found.count, version, bits
        self.num_evaluations += found.passes
        if self._journal_path is not None:
            self._journal = Journal(self._journal_path, self.fingerprint())

    def _current(self) -> tuple[Any, ...]:
        """Cheap indicator of the network's state, and of the settings under which it is evaluated."""
        settings = self._conditions.autocast if self._held else autocast_around([self._twin.device])
        self._twin.refuse_taken()
        return version_of(self.model, self._twin.masks), settings

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Context for many evaluations, in which the objective is checked and random states are saved only once.

        The network must not change inside it. Every probe uses this context.

        Raises:
            InputError: See `check`.
        """
        if self._held:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1
            return
        self.check()
        with self._quiet():
            self._held = 1
            try:
                yield
            finally:
                self._held, self._derivatives.kept, self._rows = 0, None, None
                self._twin.cached.clear()

    def _check_again(self) -> None:
        """Repeat the check if the cheap `version_of` shows a change; every probe starts with the full `check`."""
        if not self._held and self._current() != self._version:
            self.check()

    def fingerprint(self) -> str:
        """Hash that identifies the network, its batches and the moved tensors, from sums of bits and the loss."""
        return fingerprint_of(self.filters, self.one_dim, self._bits, self._center_loss, self._count, self.device)

    def loss_at(self, *steps: Step) -> float:
        """Mean loss at the network's weights plus each direction times its distance."""
        self._check_again()
        point = place_of(steps) if self._journal else None
        known = self._journal.find(point) if self._journal and point else None
        if known is not None:
            return known
        with self._quiet():
            loss = self._mean(steps)
        if self._journal and point:
            self._journal.keep(point, loss)
        return loss

    def scores_at(self, *steps: Step) -> Float[np.ndarray, "sets metrics"]:
        """Loss and metrics on every data set at a point, in one pass over each.

        Raises:
            InputError: A metric returns none of the forms accepted for a loss.
        """
        self._check_again()
        with self._quiet():
            self._derivatives.kept = None
            self._twin.move_to(steps, cache=bool(self._held))
            self.num_evaluations += 1
            with self._statistics(at_center=not steps):
                return self._scores.here()

    def check_scores(self) -> None:
        """Check that the metrics are finite at the current weights.

        Raises:
            InputError: A metric is not finite; the message names it and its data set.
        """
        found = self.scores_at()
        with self._quiet():
            again = self._scores.settle()
        self._scores.refuse_undefined(self.scores_at() if again else found)

    def line(self, direction: Direction) -> Line:
        """See `Landscape`; the rough estimate is the loss over the first batch."""
        return ModuleLine(self, direction)

    def gradient_at(self, *steps: Step) -> tuple[float, list[Tensor]]:
        """Mean loss at a point, and its gradient for the moved tensors, in single or double precision.

        Raises:
            InputError: The loss cannot be differentiated.
        """
        self._check_again()
        with self._quiet():
            if self._renewal is not None:
                self._derivatives.verify()
                self._twin.move_to(steps, cache=bool(self._held))
            with self._statistics(at_center=not steps):
                total, gradient = self._derivatives.gradient(steps, cache=bool(self._held))
        return total / self._count, [part / self._count for part in gradient]

    def hessian_vector_product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Multiply the Hessian of the mean loss at the current weights by a vector, tensor by tensor.

        Raises:
            InputError: The loss cannot be differentiated, or a layer of the network has no second derivative.
        """
        self._check_again()
        with self._quiet():
            return [part / self._count for part in self._derivatives.product(vector, held=bool(self._held))]

    @property
    def products(self) -> str:
        """How Hessian products are computed: `second derivatives`, or `differences of gradients` if these failed."""
        return DIFFERENCES if self._derivatives.by_differences else SECOND_DERIVATIVES

    def loss_of(self, state: Mapping[str, Any]) -> float:
        """Mean loss of another network of the same architecture, including its buffers and frozen tensors.

        Args:
            state: Its tensors by name; missing ones are taken from the network itself.

        Raises:
            InputError: A name or a shape does not fit the network.
        """
        self._check_again()
        self._derivatives.kept = None
        state = self.effective(state)
        with self._quiet(), torch.no_grad(), self._twin.holding(state):
            return self._summed()

    def rough_loss_at(self, *steps: Step) -> tuple[float, float]:
        """Mean loss over the first batch at a point, and its count; batches with count zero are skipped."""
        self._check_again()
        with self._quiet(), torch.no_grad():
            self._derivatives.kept = None
            self._twin.move_to(steps, cache=bool(self._held))
            return self._passes.first(self._begin, self._answer)

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        if self._held:
            yield
            return
        with self._conditions.quiet({tensor.device for tensor in self.model.parameters()}):
            yield

    @torch.no_grad()
    def _mean(self, steps: Sequence[Step]) -> float:
        self._derivatives.kept = None
        self._twin.move_to(steps, cache=bool(self._held))
        with self._statistics(at_center=not steps):
            return self._summed()

    def _summed(self) -> float:
        """Mean loss over all batches at the copy's weights."""
        total, count = self._passes.sums(self._begin, self._answer)
        self.num_evaluations += 1
        checks.refuse_other_count(self._count, count)
        return total / count

    def _answer(self, batch: Any) -> Answer:
        """Loss of one batch."""
        return self._functions[LOSS](self._twin.copy, batch)
