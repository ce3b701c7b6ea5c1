"""Gradients and Hessian products of the mean loss over batches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from basinscope.errors import InputError
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import Answer, first_line
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.twin import Twin, clear
from basinscope.landscape.protocol import Step
from basinscope.memory import is_out_of_memory, release


class Derivatives:
    """Differentiates the summed loss with respect to the moved tensors of the working copy.

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

    def zeros(self) -> list[Tensor]:
        """Accumulators for sums over batches, in single precision or higher."""
        targets = self.twin.targets
        return [torch.zeros_like(t, dtype=torch.promote_types(t.dtype, torch.float32)) for t in targets]

    def gradient(self, steps: Sequence[Step], *, cache: bool) -> tuple[float, list[Tensor]]:
        """Summed loss at a point, and its gradient."""
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
        return total, gradient

    def product(self, vector: Sequence[Tensor], *, held: bool) -> list[Tensor]:
        """Product of the Hessian of the summed loss at the center and a vector."""
        with self.twin.differentiable(), _twice_differentiable(self.twin.copy):
            cast = [v.to(t) for v, t in zip(vector, self.twin.targets, strict=True)]
            product = self.zeros()
            if held and self._multiply_only_batch(cast, product):
                return product
            self.kept = None
            self.twin.move_to([])
            for parts in self.passes.each("product", self.begin, lambda b: self._multiply(self._slopes_of(b), cast)):
                _add(product, parts)
            clear(self.twin.targets)
        return product

    def _slopes(self, total: Tensor, *, again: bool = False) -> Sequence[Tensor | None]:
        """Gradient of a loss with respect to the moved tensors; None for those that it does not depend on."""
        if not total.requires_grad:
            raise InputError(
                "the loss cannot be differentiated by the moved weights: the loss function must use them, without "
                "detach, rounding or no_grad"
            )
        return torch.autograd.grad(total, self.twin.targets, create_graph=again, allow_unused=True)

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
                raise InputError(f"the network cannot be differentiated twice: {first_line(error)}") from error
        return [target.grad for target in self.twin.targets]


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
