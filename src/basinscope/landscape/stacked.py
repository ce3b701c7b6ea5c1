"""Losses of flat parameter vectors, evaluated at many vectors at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import relu

from basinscope.data.samples import Samples
from basinscope.errors import InputError, check_choice
from basinscope.landscape.flat import FlatLandscape
from basinscope.landscape.kernel import MLPKernel
from basinscope.landscape.normalize import Normalization
from basinscope.losses import cross_entropy, cross_entropy_second_derivative
from basinscope.models.mlp import MLP
from basinscope.parameters import ParameterLayout

Backend = Literal["eager", "compiled"]
PointLoss = Callable[[Float[Tensor, "points params"]], Float[Tensor, " points"]]

CACHE_BYTES_PER_CORE = 4 * 2**20
"""Memory of a chunk per thread: more than the second-level cache, to amortise the overhead of a batched product, but
well within the third-level cache."""

KERNEL_CHUNK = 1024
"""Points per call of the compiled kernel."""

CUDA_SHARE = 0.25
"""Largest share of the free GPU memory used by one chunk."""


class PointObjective:
    """Any loss function of a batch of parameter vectors; `around` returns the landscape around one.

    Args:
        loss: The loss at each row, in nats; must not depend on how rows are batched.
        layout: Names, shapes and positions of the tensors in a parameter vector.
        chunk_size: Rows evaluated together.
        backend: `compiled` runs `loss` through `torch.compile`.

    Attributes:
        compiling_seconds: Expected compilation time.

    Example:
        >>> bowl = PointObjective(lambda p: p.square().sum(1), layout, chunk_size=32)
        >>> bowl.at(torch.ones(1, layout.num_parameters)) == layout.num_parameters
        tensor([True])
    """

    compiling_seconds = 30.0

    def __init__(
        self, loss: PointLoss, layout: ParameterLayout, *, chunk_size: int = 32, backend: Backend = "eager"
    ) -> None:
        check_choice("backend", backend, get_args(Backend))
        self.layout, self.chunk_size = layout, chunk_size
        self.num_evaluations: float = 0
        self._loss = torch.compile(loss, dynamic=True) if backend == "compiled" else loss
        self.loss = loss
        """The loss, never compiled; differentiable."""

    @torch.no_grad()
    def at(self, points: Float[Tensor, "points params"]) -> Float[Tensor, " points"]:
        """See `FlatLoss.at`."""
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
        """See `FlatLoss.along`; points are computed chunk by chunk, to stay in the cache."""
        self.num_evaluations += len(distances)
        steps = distances.to(center.device, center.dtype).unsqueeze(1).split(self.chunk_size)
        if rows is None:
            chunks: Iterable[Tensor] = directions.split(self.chunk_size)
        else:
            chunks = (directions[chunk] for chunk in rows.to(center.device).split(self.chunk_size))
        return torch.cat(
            [self._loss(torch.addcmul(center, d, s)).cpu().double() for d, s in zip(chunks, steps, strict=True)]
        )

    def around(
        self, center: Float[Tensor, " params"], normalization: Normalization | None = None, *, name: str | None = None
    ) -> FlatLandscape:
        """Return the landscape around a parameter vector, for use with any probe.

        Args:
            center: The minimum.
            normalization: Scaling of directions; by default filter-normalised, biases fixed.
            name: Name of the network in results.
        """
        return FlatLandscape(self, center, normalization, name=name, points_at_once=self.chunk_size)

    def gradient(self, point: Float[Tensor, " params"]) -> tuple[float, Float[Tensor, " params"]]:
        """See `FlatLoss.gradient`."""
        leaf = point.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(leaf[None])[0]
            return float(loss.detach()), torch.autograd.grad(loss, leaf)[0]

    @torch.no_grad()
    def second_derivative(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"]
    ) -> Float[Tensor, " rays"]:
        """See `FlatLoss.second_derivative`; by nested forward-mode differentiation."""
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
        """See `FlatLoss.hessian_vector_product`; by differentiating twice (Pearlmutter 1994)."""
        leaf = center.detach().requires_grad_()
        with torch.enable_grad():
            loss = self.loss(leaf[None])[0]
            (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
            if not gradient.requires_grad:  # a piecewise linear loss has no curvature
                return torch.zeros_like(vector)
            return torch.autograd.grad(gradient, leaf, vector)[0]


class CleanLoss(PointObjective):
    """Mean cross-entropy of an `MLP` over a training set.

    Args:
        net: The architecture.
        train: Training samples, with the device and dtype of the points to evaluate.
        chunk_size: Rows evaluated together; by default as many as fit the cache or a share of GPU memory.
        backend: `compiled` uses the C kernel on the CPU (see `kernel`) and `torch.compile` on other devices; see
            `choose_backend`.

    Raises:
        InputError: The inputs do not have the network's input width.
        KernelError: `backend` is `compiled`, and there is no working compiler.
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
        """See `FlatLoss.at`."""
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
        """See `FlatLoss.along`."""
        if self._kernel is None:
            return super().along(center, directions, distances, rows)
        self.num_evaluations += len(distances)
        rows = torch.arange(len(directions)) if rows is None else rows
        pairs = zip(rows.split(KERNEL_CHUNK), distances.split(KERNEL_CHUNK), strict=True)
        logits = (self._kernel.logits(center, directions, chosen, steps) for chosen, steps in pairs)
        return torch.cat([cross_entropy(z, self.train.labels).mean(1).double() for z in logits])

    @torch.no_grad()
    def second_derivative(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"]
    ) -> Float[Tensor, " rays"]:
        """See `FlatLoss.second_derivative`.

        Propagates Taylor coefficients of every unit through the layers: for z = W h + b moved along (V, v),
        ż = W ḣ + V h + v and z̈ = W ḧ + 2 V ḣ; ReLU passes each where z > 0. About six times faster than nested
        forward-mode differentiation, because h is shared by all directions.
        """
        # A ray needs about five times the memory of an evaluation.
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
    """Number of rows whose working memory fits the CPU caches, or a share of the free GPU memory."""
    bytes_per_row = net.bytes_per_point * num_samples + 8 * net.layout.num_parameters
    if device.type == "cuda":
        budget = int(torch.cuda.mem_get_info(device)[0] * CUDA_SHARE)
        return max(16, min(65536, budget // (4 * bytes_per_row)))
    threads = torch.get_num_threads()
    rows = CACHE_BYTES_PER_CORE * threads // bytes_per_row
    # A multiple of the number of threads, so that none is idle.
    return max(8, min(256, rows) // threads * threads)
