"""Losses at many points at once: by batched products, the C kernel, or `torch.func.vmap`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from basinscope.landscape.kernel import MLPKernel
from basinscope.landscape.module.answers import Answers, Capture, Captured, NotTogetherError
from basinscope.landscape.module.chain import Chain
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import LossFunction
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.points import Points
from basinscope.landscape.module.twin import Twin

CACHE_BYTES = 4 * 2**20
"""Largest size, per thread, of the hidden units of points evaluated together."""
OUTPUT_BYTES, PIECE = 2**25, 256
"""Limits on points whose losses are computed together: bytes of their outputs, and number."""
FEW_OUTPUTS = 16
"""Below this many points losses are computed one by one, because of the overhead of `vmap`."""
Functions = Sequence[LossFunction]


_evaluated = [0]


def num_evaluated() -> int:
    """Number of losses computed from outputs in this process so far."""
    return _evaluated[0]


class Together(Protocol):
    """A method that evaluates many points at once."""

    name: str
    at_once: int
    """Number of points that go through the network together."""

    def totals(
        self, points: Points, batch: Any, functions: Functions
    ) -> tuple[Float[Tensor, "functions points"], list[float]]:
        """Sum of each function over a batch at each point, and the count of each function."""
        ...


def means(
    method: Together, points: Points, passes: Passes, sets: Sequence[Begin], functions: Functions
) -> Float[np.ndarray, "sets functions points"]:
    """Mean of every function over every data set at many points.

    Args:
        method: How points are evaluated together.
        points: The points.
        passes: Iterates over batches.
        sets: Functions that start a pass over each data set.
        functions: The loss and metrics.
    """
    if (
        passes.lender.modified or passes.twin.buffers.written
    ):  # each evaluation needs the batch and buffers as they were
        raise NotTogetherError
    values = np.empty((len(sets), len(functions), len(points)))
    for index, begin in enumerate(sets):
        total, counts = torch.zeros(len(functions), len(points), dtype=torch.float64), [0.0] * len(functions)
        for batch in passes.batches(begin):
            sums, weights = method.totals(points, batch, functions)
            total += sums.cpu()
            counts = [a + b for a, b in zip(counts, weights, strict=True)]
        values[index] = total.numpy() / np.array(counts)[:, None]
    return values


class _Counted:
    """Interprets a function's return value, also under `vmap`; the count must not depend on the point."""

    def __init__(self, function: LossFunction) -> None:
        self.function = function
        self.count = float("nan")

    def __call__(self, model: Any, batch: Any) -> Tensor:
        answer = self.function(model, batch)
        if not math.isnan(self.count) and answer.count != self.count:
            raise NotTogetherError
        self.count = answer.count
        return answer.total


class _Cutter:
    """Splits flat rows into the moved tensors of a network."""

    def __init__(self, twin: Twin) -> None:
        self.sizes = [f.size for f in twin.filters]
        self.shapes = [f.shape for f in twin.filters]
        self.dtypes = [target.dtype for target in twin.targets]

    def __call__(self, rows: Float[Tensor, "points moved"]) -> list[Tensor]:
        parts = zip(rows.split(self.sizes, dim=1), self.shapes, self.dtypes, strict=True)
        return [part.reshape(len(rows), *shape).to(dtype) for part, shape, dtype in parts]


def _vmapped(function: Callable[[Any], Tensor], points: Any) -> Tensor:
    """Map a function over points, without torch's warning that an operation of the network is not batched.

    The trial has found whether it is faster nevertheless.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "There is a performance drop because we have not yet implemented the batching"
        )
        return vmap(function)(points)


class ByOutputs:
    """Computes the outputs of a chain at all points, then the user's loss of these outputs.

    Args:
        twin: Working copy of the network.
        chain: Its layers.
        at_once: Number of points whose hidden units are in the cache together.
        vmapped: Compute losses of outputs by `vmap` instead of point by point: faster, but on first use torch spends
            half a second on imports.
    """

    name = "batched products"

    def __init__(self, twin: Twin, chain: Chain, at_once: int, *, vmapped: bool) -> None:
        self.twin, self.chain, self.at_once, self.vmapped = twin, chain, at_once, vmapped
        self._cut = _Cutter(twin)

    def outputs(self, points: Points, inputs: Tensor) -> Tensor:
        """Outputs of the last linear layer at each point."""
        samples = max(1, inputs.numel() // inputs.shape[-1])
        fitting = CACHE_BYTES * torch.get_num_threads() // (self.chain.widest * samples * inputs.element_size())
        step = max(1, min(self.at_once, fitting)) if inputs.device.type == "cpu" else self.at_once
        parts = [
            self.chain.outputs(self._cut(points.part(k, k + step).weights()), inputs)
            for k in range(0, len(points), step)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _inputs(self, batch: Any, function: LossFunction) -> Tensor:
        """The input with which the loss function calls the model."""
        try:
            function.value(Capture(), batch)
        except Captured as capture:
            return capture.inputs
        raise NotTogetherError

    @torch.no_grad()
    def totals(
        self, points: Points, batch: Any, functions: Functions
    ) -> tuple[Float[Tensor, "functions points"], list[float]]:
        """See `Together`."""
        given = self._inputs(batch, functions[0])
        inputs = self.chain.prepared(given)
        answers, counted = Answers(given), [_Counted(function) for function in functions]
        known = answers.outputs

        def total(outputs: Tensor) -> Tensor:
            sums = []
            for function in counted:
                # A copy for each function, because a loss may modify the outputs.
                known[0] = self.chain.finished(outputs.clone() if len(counted) > 1 else outputs)
                sums.append(function(answers, batch))
            return torch.stack(sums) if len(sums) > 1 else sums[0].reshape(1)

        _evaluated[0] += len(points)
        size = inputs.numel() // inputs.shape[-1] * self.chain.widths[-1] * inputs.element_size()
        piece = max(self.at_once, min(PIECE, OUTPUT_BYTES // max(1, size)))
        parts = []
        for k in range(0, len(points), piece):
            outputs = self.outputs(points.part(k, k + piece), inputs)
            vmapped = self.vmapped and len(outputs) >= FEW_OUTPUTS
            parts.append(_vmapped(total, outputs) if vmapped else torch.stack([total(each) for each in outputs]))
        return torch.cat(parts).T, [function.count for function in counted]


class ByKernel(ByOutputs):
    """Like `ByOutputs`, with the outputs of a ReLU network computed by the C kernel.

    Args:
        twin: Working copy of the network.
        chain: Its layers: linear with biases, alternating with ReLU.
        at_once: Number of points per kernel call.
        vmapped: See `ByOutputs`.

    Raises:
        KernelError: There is no working compiler, or the tensors' dtype or device is not supported.
    """

    name = "kernel in C"

    def __init__(self, twin: Twin, chain: Chain, at_once: int, *, vmapped: bool) -> None:
        super().__init__(twin, chain, at_once, vmapped=vmapped)
        self._tensors = chain.constants()
        self._kernels: dict[tuple[int, ...], tuple[Tensor, MLPKernel]] = {}
        self._converted: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        """Center and directions as passed in, and converted for the kernel."""

    def _kernel(self, inputs: Tensor) -> MLPKernel:
        """The kernel for one batch of inputs; rebuilt if their values changed."""
        key = tuple(inputs.shape)
        known = self._kernels.get(key)
        if known is None or not torch.equal(known[0], inputs):
            known = (inputs.clone(), MLPKernel(self.chain.widths, inputs.reshape(-1, inputs.shape[-1])))
            self._kernels = {**dict(list(self._kernels.items())[-7:]), key: known}
        return known[1]

    def _whole(self, rows: Tensor, dtype: torch.dtype, *, moving: bool) -> Tensor:
        """Expand rows of moved tensors to all parameters in the kernel's order; directions are zero at frozen ones."""
        if self._tensors == list(range(len(self._cut.sizes))):
            return rows.to(dtype)
        moved = rows.reshape(-1, rows.shape[-1]).split(self._cut.sizes, dim=1)

        def frozen(tensor: Tensor) -> Tensor:
            row = tensor.reshape(1, -1)
            return (torch.zeros_like(row) if moving else row).expand(len(moved[0]), -1)

        parts = [(moved[t] if isinstance(t, int) else frozen(t)).to(dtype) for t in self._tensors]
        return torch.cat(parts, dim=1).reshape(*rows.shape[:-1], -1)

    def outputs(self, points: Points, inputs: Tensor) -> Tensor:
        """See `ByOutputs`."""
        known = self._converted
        if known is None or known[0] is not points.center or known[1] is not points.directions:
            center = self._whole(points.center, inputs.dtype, moving=False)
            known = (
                points.center,
                points.directions,
                center,
                self._whole(points.directions, inputs.dtype, moving=True),
            )
            self._converted = known
        _, _, center, directions = known
        rows, second = points.rows, None
        if rows is None:
            rows, second = torch.zeros(len(points), dtype=torch.int64), (directions[1], points.steps[:, 1])
        logits = self._kernel(inputs).logits(center, directions, rows, points.steps[:, 0], second)
        return logits.reshape(len(points), *inputs.shape[:-1], -1)


class _Whole(nn.Module):
    """Module that evaluates functions of the network, for `functional_call`."""

    def __init__(self, model: nn.Module, functions: Sequence[_Counted]) -> None:
        super().__init__()
        self.twin = model
        self.functions = functions

    def forward(self, batch: Any) -> Tensor:
        """Sum of each function over a batch."""
        return torch.stack([function(self.twin, batch) for function in self.functions])


class ByVmap:
    """Any network whose forward pass `torch.func.vmap` can batch.

    Args:
        twin: Working copy of the network.
        at_once: Number of points that go through the network together.
    """

    name = "vmap"

    def __init__(self, twin: Twin, at_once: int) -> None:
        self.twin, self.at_once = twin, at_once
        self._cut = _Cutter(twin)
        self._names = [f"twin.{f.name}" for f in twin.filters]

    @torch.no_grad()
    def totals(
        self, points: Points, batch: Any, functions: Functions
    ) -> tuple[Float[Tensor, "functions points"], list[float]]:
        """See `Together`."""
        counted = [_Counted(function) for function in functions]
        whole = _Whole(self.twin.copy, counted)

        def sums(tensors: list[Tensor]) -> Tensor:
            return functional_call(whole, dict(zip(self._names, tensors, strict=True)), (batch,))

        parts = [
            _vmapped(sums, self._cut(points.part(k, k + self.at_once).weights()))
            for k in range(0, len(points), self.at_once)
        ]
        return torch.cat(parts).T, [function.count for function in counted]
