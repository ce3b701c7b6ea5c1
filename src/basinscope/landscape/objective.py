"""The clean loss of one network architecture, at many parameter vectors at once."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, get_args, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import relu

from basinscope.data.samples import Samples
from basinscope.errors import InputError, choose
from basinscope.landscape.kernel import MLPKernel
from basinscope.losses import cross_entropy, cross_entropy_second_derivative
from basinscope.models.mlp import MLP
from basinscope.parameters import ParameterLayout

Backend = Literal["eager", "compiled"]
PointLoss = Callable[[Float[Tensor, "points params"]], Float[Tensor, " points"]]

CACHE_BYTES_PER_CORE = 4 * 2**20
"""What a chunk may fill for each thread: more than the second-level cache, so that starting a batched product
costs little beside it, and well within the third."""

KERNEL_CHUNK = 1024
"""Points whose logits the compiled kernel hands over together."""

CUDA_SHARE = 0.25
"""Share of the free GPU memory that one chunk may fill."""


@runtime_checkable
class Landscape(Protocol):
    """What a probe needs: the loss at points, along directions, and its second derivative there."""

    layout: ParameterLayout
    num_evaluations: float

    def at(self, points: Float[Tensor, "points params"]) -> Float[Tensor, " points"]:
        """Loss in nats at each parameter vector, float64 on the CPU."""
        ...

    def along(
        self,
        center: Float[Tensor, " params"],
        directions: Float[Tensor, "rays params"],
        distances: Float[Tensor, " points"],
        rows: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, " points"]:
        """Loss in nats at `center + distance · directions[row]`, float64 on the CPU.

        Without `rows`, each distance goes along the direction of its own place.
        """
        ...

    def second_derivative(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"]
    ) -> Float[Tensor, " rays"]:
        """Second derivative dᵀHd of the loss along each direction, float64 on the CPU."""
        ...

    def hessian_vector_product(
        self, center: Float[Tensor, " params"], vector: Float[Tensor, " params"]
    ) -> Float[Tensor, " params"]:
        """Multiply the Hessian of the loss at `center` by `vector`."""
        ...


class PointObjective:
    """A landscape from any function that gives the loss at a batch of parameter vectors.

    Args:
        loss: The loss at each row, in nats; must not depend on how rows are batched.
        layout: Addresses of the tensors in a parameter vector.
        chunk_size: Rows that are evaluated together.
        backend: `compiled` runs `loss` through `torch.compile`.

    Attributes:
        compiling_seconds: What compiling may be expected to take.

    Example:
        >>> bowl = PointObjective(lambda p: p.square().sum(1), layout, chunk_size=32)
        >>> bowl.at(torch.ones(1, layout.num_parameters)) == layout.num_parameters
        tensor([True])
    """

    compiling_seconds = 30.0

    def __init__(
        self, loss: PointLoss, layout: ParameterLayout, *, chunk_size: int = 32, backend: Backend = "eager"
    ) -> None:
        choose("backend", backend, get_args(Backend))
        self.layout, self.chunk_size = layout, chunk_size
        self.num_evaluations: float = 0
        self._loss = torch.compile(loss, dynamic=True) if backend == "compiled" else loss
        self.loss = loss
        """The loss itself, never compiled; differentiable."""

    @torch.no_grad()
    def at(self, points: Float[Tensor, "points params"]) -> Float[Tensor, " points"]:
        """See `Landscape.at`."""
        self.num_evaluations += len(points)
        return torch.cat([self._loss(chunk).cpu().double() for chunk in points.split(self.chunk_size)])

    @torch.no_grad()
    def along(
        self,
        center: Float[Tensor, " params"],
        directions: Float[Tensor, "rays params"],
        distances: Float[Tensor, " points"],
        rows: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, " points"]:
        """See `Landscape.along`; points are made chunk by chunk, so that they are still in the cache."""
        self.num_evaluations += len(distances)
        steps = distances.to(center.device, center.dtype).unsqueeze(1).split(self.chunk_size)
        if rows is None:
            chunks: Iterable[Tensor] = directions.split(self.chunk_size)
        else:
            chunks = (directions[some] for some in rows.to(center.device).split(self.chunk_size))
        return torch.cat(
            [self._loss(torch.addcmul(center, d, s)).cpu().double() for d, s in zip(chunks, steps, strict=True)]
        )

    @torch.no_grad()
    def second_derivative(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"]
    ) -> Float[Tensor, " rays"]:
        """See `Landscape.second_derivative`; forward mode over forward mode."""
        parts = []
        for chunk in directions.split(self.chunk_size):
            zero = torch.zeros(len(chunk), device=center.device, dtype=center.dtype)
            one = torch.ones_like(zero)

            def along(distance: Tensor, chunk: Tensor = chunk) -> Tensor:
                return self.loss(center + distance.unsqueeze(1) * chunk)

            def slope(distance: Tensor, one: Tensor = one, along: Callable = along) -> Tensor:
                return torch.func.jvp(along, (distance,), (one,))[1]

            parts.append(torch.func.jvp(slope, (zero,), (one,))[1].double().cpu())
        return torch.cat(parts)

    def hessian_vector_product(
        self, center: Float[Tensor, " params"], vector: Float[Tensor, " params"]
    ) -> Float[Tensor, " params"]:
        """See `Landscape.hessian_vector_product`; by differentiating twice (Pearlmutter 1994)."""
        leaf = center.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(leaf[None])[0]
            (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
            if not gradient.requires_grad:  # a piecewise linear loss has no curvature
                return torch.zeros_like(vector)
            return torch.autograd.grad(gradient, leaf, vector)[0]


class CleanLoss(PointObjective):
    """The mean cross-entropy of an `MLP` over a training set.

    Args:
        net: The architecture.
        train: Training samples on the device and in the dtype of the points to come.
        chunk_size: Rows evaluated together; by default what fits the cache or a share of the GPU's memory.
        backend: `compiled` runs on the CPU in C made for the processor (see `kernel`), elsewhere through
            `torch.compile`; see `choose_backend`.

    Raises:
        InputError: The inputs are not of the network's width.
        KernelError: `compiled` was asked for, and no compiler works here.
    """

    def __init__(self, net: MLP, train: Samples, *, chunk_size: int | None = None, backend: Backend = "eager") -> None:
        if train.inputs.shape[1:] != (net.widths[0],):
            raise InputError(f"inputs of shape {tuple(train.inputs.shape)}: the network takes (n, {net.widths[0]})")
        self.net, self.train = net, train
        in_c = backend == "compiled" and train.inputs.device.type == "cpu"
        self._kernel = MLPKernel(net.widths, train.inputs) if in_c else None
        self.compiling_seconds = 2.0 if train.inputs.device.type == "cpu" else PointObjective.compiling_seconds
        super().__init__(
            self._mean_loss,
            net.layout,
            chunk_size=chunk_size or fitting_chunk(net, len(train), train.inputs.device),
            backend="eager" if in_c else backend,
        )

    def _mean_loss(self, points: Tensor) -> Tensor:
        return cross_entropy(self.net.logits(points, self.train.inputs[None]), self.train.labels).mean(1)

    @torch.no_grad()
    def at(self, points: Float[Tensor, "points params"]) -> Float[Tensor, " points"]:
        """See `Landscape.at`."""
        if self._kernel is None or not len(points):
            return super().at(points)
        return self.along(torch.zeros_like(points[0]), points, torch.ones(len(points)))

    @torch.no_grad()
    def along(
        self,
        center: Float[Tensor, " params"],
        directions: Float[Tensor, "rays params"],
        distances: Float[Tensor, " points"],
        rows: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, " points"]:
        """See `Landscape.along`."""
        if self._kernel is None:
            return super().along(center, directions, distances, rows)
        self.num_evaluations += len(distances)
        rows = torch.arange(len(directions)) if rows is None else rows
        pairs = zip(rows.split(KERNEL_CHUNK), distances.split(KERNEL_CHUNK), strict=True)
        logits = (self._kernel.logits(center, directions, some, steps) for some, steps in pairs)
        return torch.cat([cross_entropy(z, self.train.labels).mean(1).double() for z in logits])

    @torch.no_grad()
    def second_derivative(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"]
    ) -> Float[Tensor, " rays"]:
        """See `Landscape.second_derivative`.

        The Taylor coefficients of every unit are carried through the layers: with z = W h + b moved along
        (V, v), ż = W ḣ + V h + v and z̈ = W ḧ + 2 V ḣ, and ReLU passes each on where z > 0. About six times
        faster than forward mode over forward mode, because h is shared by all directions.
        """
        # A ray carries about five times the memory of an evaluation.
        chunks = directions.split(max(1, self.chunk_size // 5))
        return torch.cat([self._second_derivative(center, chunk).double().cpu() for chunk in chunks])

    def _second_derivative(self, center: Tensor, directions: Tensor) -> Tensor:
        tensors, moves = self.layout.views(center), self.layout.views(directions)
        value = self.train.inputs.T
        first = second = torch.zeros(1, device=center.device, dtype=center.dtype)
        last = len(tensors) // 2 - 1
        for layer in range(last + 1):
            weight, bias = tensors[2 * layer], tensors[2 * layer + 1]
            move, shift = moves[2 * layer], moves[2 * layer + 1]
            carried = move @ value + shift.unsqueeze(-1)
            if layer:
                second = weight @ second + 2 * (move @ first)
                carried = carried + weight @ first
            else:
                second = torch.zeros_like(carried)
            first = carried
            value = torch.addmm(bias.unsqueeze(-1), weight, value)
            if layer < last:
                on = (value > 0).to(value.dtype)
                value, first, second = relu(value), first * on, second * on
        first, second = first.transpose(1, 2), second.transpose(1, 2)
        return cross_entropy_second_derivative(value.T, first, second, self.train.labels)


def fitting_chunk(net: MLP, num_samples: int, device: torch.device) -> int:
    """Rows whose working memory fits the cores' caches, or a share of the GPU's free memory."""
    bytes_per_row = net.bytes_per_point * num_samples + 8 * net.layout.num_parameters
    if device.type == "cuda":
        budget = int(torch.cuda.mem_get_info(device)[0] * CUDA_SHARE)
        return max(16, min(65536, budget // (4 * bytes_per_row)))
    threads = torch.get_num_threads()
    rows = CACHE_BYTES_PER_CORE * threads // bytes_per_row
    # A multiple of the threads, so that none of them waits.
    return max(8, min(256, rows) // threads * threads)


@dataclass(frozen=True, kw_only=True)
class BackendChoice:
    """The outcome of a trial, stored with the run so that a resumed run computes the same way."""

    backend: Backend
    reason: str
    eager_us: float | None = None
    """Microseconds an eager evaluation takes."""
    compiled_us: float | None = None
    """Microseconds a compiled evaluation takes."""
    compile_seconds: float | None = None


WORTH_COMPILING = 2.0
"""Eager work, as a multiple of what compiling may take, below which it is not even tried."""
AGREEING = 1e-3
"""Largest relative difference between eager and compiled losses."""
CLEARLY_FASTER = 0.75
"""Share of the eager time below which compiling is chosen; a smaller gain could turn with the machine's noise, and
with it the last digits of a run."""


def choose_backend(
    make: Callable[[Backend], PointObjective],
    center: Float[Tensor, " params"],
    *,
    planned: int,
    reproducible: bool = False,
) -> BackendChoice:
    """Try how fast the landscape is evaluated and choose the way that finishes `planned` evaluations first.

    Compiling is not even tried where evaluating everything eagerly takes no longer than compiling might.

    Args:
        make: Builds the landscape for a backend.
        center: A point to evaluate around.
        planned: Evaluations to come.
        reproducible: Take `eager`, so that results do not depend on the outcome of a trial.

    Returns:
        The choice with what was measured.
    """
    if reproducible:
        return BackendChoice(backend="eager", reason="eager was asked for")
    eager = make("eager")
    eager_us = 1e6 * _seconds_per_evaluation(eager, center)
    if planned * eager_us * 1e-6 < WORTH_COMPILING * eager.compiling_seconds:
        return BackendChoice(backend="eager", reason="the work is shorter than a compilation", eager_us=eager_us)
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    began = time.perf_counter()
    try:
        compiled = make("compiled")
        found = _evaluate(compiled, center)
        compile_seconds = time.perf_counter() - began
        compiled_us = 1e6 * _seconds_per_evaluation(compiled, center)
    except Exception as error:  # every way in which a compiler can be missing or fail
        reason = f"compiling does not work here ({type(error).__name__})"
        return BackendChoice(backend="eager", reason=reason, eager_us=eager_us)
    if not torch.allclose(found, _evaluate(eager, center), rtol=AGREEING, equal_nan=True):
        return BackendChoice(backend="eager", reason="compiled losses differ from eager ones", eager_us=eager_us)
    faster: Backend = "compiled" if compiled_us < CLEARLY_FASTER * eager_us else "eager"
    return BackendChoice(
        backend=faster,
        reason="measured",
        eager_us=eager_us,
        compiled_us=compiled_us,
        compile_seconds=compile_seconds,
    )


def _evaluate(objective: PointObjective, center: Tensor) -> Tensor:
    # Two sizes, so that a compiled loss has met a changing one.
    sizes = (objective.chunk_size, max(2, objective.chunk_size // 2))
    scales = [torch.linspace(0.5, 1.5, size).to(center) for size in sizes]
    return torch.cat([objective.at(scale.unsqueeze(1) * center) for scale in scales])


def _seconds_per_evaluation(objective: PointObjective, center: Tensor) -> float:
    """Median over short repeats, warm."""
    points = center.expand(8 * objective.chunk_size, -1).contiguous()
    objective.at(points)
    seconds = []
    for _ in range(7):
        began = time.perf_counter()
        objective.at(points)
        seconds.append((time.perf_counter() - began) / len(points))
    assert math.isfinite(seconds[0])
    return sorted(seconds)[len(seconds) // 2]
