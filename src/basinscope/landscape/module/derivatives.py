"""Gradients and Hessian products of the mean loss over batches."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from basinscope.errors import InputError
from basinscope.landscape.directions import Stored
from basinscope.landscape.filters import as_real
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import Answer, first_line
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.twin import Twin, clear
from basinscope.landscape.protocol import Step
from basinscope.memory import is_out_of_memory, release

_log = logging.getLogger(__name__)
RISES, FARTHEST = (1e-3, 1e-4, 1e-2), 1e-2
"""Rises of the loss, relative to it, at which slopes are compared; and the largest step, relative to the weights."""
TOLERANCE, NOISE, RESOLVED = 0.05, 4, 50
"""Accepted relative difference of slopes; rounding of a loss, in units of its precision; rise needed, in roundings."""


class NotTwiceDifferentiableError(RuntimeError):
    """Some layer has no second derivative."""


class Derivatives:
    """Differentiates the summed loss with respect to the moved tensors of the working copy.

    Complex tensors count as pairs of real ones, so gradients hold derivatives with respect to real and imaginary parts.
    Derivatives are 0 at entries that masks exclude.

    Args:
        twin: Working copy of the network.
        passes: Iterates over batches.
        begin: Starts a pass over the data set.
        answer: Loss of one batch.
    """

    def __init__(self, twin: Twin, passes: Passes, begin: Begin, answer: Callable[[Any], Answer]) -> None:
        self.twin, self.passes, self.begin, self.answer = twin, passes, begin, answer
        self.kept: Sequence[Tensor | None] | None = None
        """Gradient at the center with its graph, if there is only one batch; reused between products while held."""
        self.reentrant = False
        """Whether the network uses reentrant checkpoints, which `torch.autograd.grad` does not support."""
        self.by_differences = ""
        """Why Hessian products are differences of gradients; empty if they are second derivatives."""
        self._agrees = False
        """Whether the gradient was found to agree with the loss at the current center."""
        self._without_gradient: Sequence[str] = ()

    def forget(self, *, reentrant: bool, without_gradient: Sequence[str]) -> None:
        """The center has changed.

        Args:
            reentrant: Whether the network uses reentrant checkpoints.
            without_gradient: Moved tensors that change the loss although it has no gradient for them.
        """
        self.kept, self.reentrant, self._agrees = None, reentrant, False
        self._without_gradient = without_gradient
        self.by_differences = "reentrant checkpoints" if reentrant else ""

    def zeros(self) -> list[Tensor]:
        """Accumulators for sums over batches, in single precision or higher."""
        reals = self.twin.reals
        return [torch.zeros_like(t, dtype=torch.promote_types(t.dtype, torch.float32)) for t in reals]

    def gradient(self, steps: Sequence[Step], *, cache: bool) -> tuple[float, list[Tensor]]:
        """Summed loss at a point, and its gradient."""
        self.verify()
        return self._gradient(steps, cache=cache)

    def _gradient(self, steps: Sequence[Step], *, cache: bool) -> tuple[float, list[Tensor]]:
        with self.twin.differentiable():
            self.kept = None
            self.twin.move_to(steps, cache=cache)
            total, gradient = 0.0, self.zeros()

            def slopes(batch: Any) -> tuple[float, Sequence[Tensor | None]]:
                batch_loss = self.answer(batch).total
                return float(batch_loss.detach()), self._slopes(batch_loss)

            for loss, parts in self.passes.each("gradient", self.begin, slopes):
                total += loss
                _add(gradient, parts)
        return total, self._masked(gradient)

    def product(self, vector: Sequence[Tensor], *, held: bool) -> list[Tensor]:
        """Product of the Hessian of the summed loss at the center and a vector."""
        self.verify()
        if self.by_differences:
            return self._difference(vector)
        try:
            return self._masked(self._second_derivative(vector, held=held))
        except NotTwiceDifferentiableError as error:
            self.by_differences = str(error)
            self.kept = None
            _log.warning("Hessian products are differences of gradients: %s", error)
            return self._difference(vector)

    def _second_derivative(self, vector: Sequence[Tensor], *, held: bool) -> list[Tensor]:
        """Product by differentiating twice."""
        with self.twin.differentiable(), _twice_differentiable(self.twin.copy):
            cast = [_aligned(v.to(t).contiguous()) for v, t in zip(vector, self.twin.reals, strict=True)]
            product = self.zeros()
            if held and self._multiply_only_batch(cast, product):
                return product
            self.kept = None
            self.twin.move_to([])
            for parts in self.passes.each("product", self.begin, lambda b: self._multiply(self._slopes_of(b), cast)):
                _add(product, parts)
            clear(self.twin.targets)
        return product

    def _difference(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Product as a central difference of gradients."""
        length = _norm(vector)
        if not length > 0:
            return self.zeros()
        weights = max(_norm(self.twin.exact), 1.0)
        coarsest = max(torch.finfo(real.dtype).eps for real in self.twin.reals)
        step = coarsest ** (1 / 3) * weights / length
        # Stored with the vector's own blocks: they are added to the center, not normalised.
        direction = Stored(tuple(v.to(own) for v, own in zip(vector, self.twin.exact, strict=True)), "")
        ahead, behind = (self._gradient([(direction, sign * step)], cache=False)[1] for sign in (1, -1))
        return [(a - b) / (2 * step) for a, b in zip(ahead, behind, strict=True)]

    def verify(self) -> None:
        """Check once per center that the gradient over the first batch is the slope of the loss.

        Compared along the gradient itself, by a central difference. If the slope is too small for the precision of the
        loss, nothing is compared.

        Raises:
            InputError: They disagree.
        """
        if not self._agrees:
            self._compare()
            self._agrees = True

    def _compare(self) -> None:
        """See `verify`."""
        if self._without_gradient:
            raise InputError(
                f"the loss changes with {self._without_gradient[0]} but has no gradient for it: look for detach, "
                "no_grad or rounding, or exclude it by parameters="
            )
        batch = next((b for b in self.passes.batches(self.begin)), None)
        if batch is None:
            return
        with self.twin.differentiable():
            self.twin.move_to([])
            parts = list(self.passes.pieces("gradient", batch, lambda b: _detached(self.answer(b), self._slopes)))
        count = sum(count for _, count, _ in parts)
        if not count:
            return
        loss, slope = sum(total for total, _, _ in parts) / count, self.zeros()
        for _, _, slopes in parts:
            _add(slope, slopes)
        slope = [part / count for part in self._masked(slope)]
        steepness, weights = _norm(slope), _norm(self.twin.exact)
        coarsest = max(torch.finfo(real.dtype).eps for real in self.twin.reals)
        noise = NOISE * coarsest * max(abs(loss), 1e-3)
        if not (math.isfinite(steepness) and steepness > 0):
            return
        direction = Stored(tuple(part / steepness for part in slope), "")
        quotients = []
        for rise in RISES:
            step = min(rise * max(abs(loss), 1e-3) / steepness, FARTHEST * max(weights, 1e-3))
            if step * steepness < RESOLVED * noise:
                continue
            losses = []
            for sign in (1, -1):
                self.twin.move_to([(direction, sign * step)])
                answers = list(self.passes.pieces("loss", batch, lambda b: _detached(self.answer(b))))
                losses.append(sum(total for total, _, _ in answers) / count)
            quotients.append((losses[0] - losses[1]) / (2 * step))
            if abs(quotients[-1] - steepness) <= TOLERANCE * steepness + noise / step:
                return
        if quotients and all(map(math.isfinite, quotients)):
            raise InputError(
                f"the gradient of the loss is not its slope: {steepness:.4g} by differentiation, {quotients[-1]:.4g} "
                "by differences of the loss; look for detach, no_grad, rounding or other functions with a replaced "
                "gradient"
            )

    def _slopes(self, total: Tensor, *, again: bool = False) -> Sequence[Tensor | None]:
        """Gradient of a loss with respect to the moved tensors; None for those that it does not depend on."""
        if not total.requires_grad:
            raise InputError(
                "the loss cannot be differentiated by the moved weights: the loss function must use them, without "
                "detach, rounding or no_grad"
            )
        if self.reentrant:
            clear(self.twin.targets)
            total.backward()
            gradients = self._gradients()
            clear(self.twin.targets)
            return gradients
        try:
            found = torch.autograd.grad(total, self.twin.targets, create_graph=again, allow_unused=True)
            return [None if part is None else as_real(part) for part in found]
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            if again:
                raise NotTwiceDifferentiableError(first_line(error)) from error
            raise InputError(f"the loss cannot be differentiated: {first_line(error)}") from error

    def _slopes_of(self, batch: Any) -> Sequence[Tensor | None]:
        """Gradient of the loss of a batch, with a graph for a second derivative."""
        clear(self.twin.targets)
        return self._slopes(self.answer(batch).total, again=True)

    def _multiply_only_batch(self, vector: Sequence[Tensor], product: list[Tensor]) -> bool:
        """Multiply with the stored gradient of the only batch; return False if that is not possible."""
        if self.passes.num_batches != 1 or "product" in self.passes.most:
            return False
        if self.kept is None:
            self.twin.move_to([])
            gradients = list(self.passes.each("product", self.begin, self._slopes_of))
            if len(gradients) > 1:  # pieces are recomputed for each product, so that one graph is in memory at a time
                return False
            self.kept = gradients[0]
        try:
            _add(product, self._multiply(self.kept, vector, keep=True))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return True
        self.kept, self.passes.num_batches = None, 0
        release(self.twin.device)
        return False

    def _multiply(
        self, slopes: Sequence[Tensor | None], vector: Sequence[Tensor], *, keep: bool = False
    ) -> list[Tensor | None]:
        """Gradient of the inner product of a gradient and a vector."""
        clear(self.twin.targets)
        # A loss that is linear in the weights has a constant gradient, without a graph.
        pairs = [(s, v) for s, v in zip(slopes, vector, strict=True) if s is not None and s.requires_grad]
        if pairs:
            outputs, weights = zip(*pairs, strict=True)
            try:
                # Not `grad`, which silently omits the contribution of layers that cannot be differentiated twice.
                torch.autograd.backward(outputs, weights, retain_graph=keep)
            except (NotImplementedError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                raise NotTwiceDifferentiableError(first_line(error)) from error
        return self._gradients()

    def _gradients(self) -> list[Tensor | None]:
        """Accumulated gradients of the moved tensors."""
        return [None if target.grad is None else as_real(target.grad) for target in self.twin.targets]

    def _masked(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Derivatives without those of entries that rest."""
        return [f.masked(part) for f, part in zip(self.twin.filters, parts, strict=True)]


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor, copied if it begins at an odd place in memory, where pairs of reals cannot be complex numbers."""
    return tensor.clone() if int(tensor.storage_offset()) % 2 else tensor


def _detached(
    answer: Answer, slopes: Callable[[Tensor], Sequence[Tensor | None]] | None = None
) -> tuple[float, float, Sequence[Tensor | None]]:
    """Loss and count of an answer, with its gradient if asked for."""
    return float(answer.total.detach()), answer.count, slopes(answer.total) if slopes else ()


def _norm(tensors: Sequence[Tensor]) -> float:
    """Euclidean norm over all tensors, in double precision."""
    return math.sqrt(sum(float(tensor.detach().cpu().double().square().sum()) for tensor in tensors))


@torch.no_grad()
def _add(totals: list[Tensor], parts: Sequence[Tensor | None]) -> None:
    for total, part in zip(totals, parts, strict=True):
        if part is not None:
            total.add_(part)


@contextlib.contextmanager
def _twice_differentiable(twin: nn.Module) -> Iterator[None]:
    """Use twice-differentiable backends for attention and recurrent layers."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # Set directly: the context manager for cuDNN would also change the precision of convolutions.
    before = torch.backends.cudnn.enabled
    if any(isinstance(module, nn.RNNBase) for module in twin.modules()):
        torch.backends.cudnn.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cudnn.enabled = before
