"""Clean loss of a large image network, one parameter vector at a time, streaming the training set in batches."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from basinscope.data.images import Images
from basinscope.errors import InputError, check_choice
from basinscope.landscape.flat import FlatLandscape, SeededDirection
from basinscope.landscape.names import Names, names_of
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.protocol import Evaluation, Line
from basinscope.landscape.seeded_ray import Ray
from basinscope.losses import cross_entropy, cross_entropy_second_derivative
from basinscope.parameters import ParameterLayout, flatten

Precision = Literal["float32", "tf32", "bfloat16"]
CACHED_BYTES = 256 * 2**20
"""Training inputs up to this size are normalised once and cached; larger sets are normalised batch by batch."""


class StreamedLoss:
    """Mean cross-entropy of a network over images, evaluated one point at a time.

    Points are computed from the minimum in a copy of the network; the given network is never changed. BatchNorm
    statistics are frozen at the minimum. Memory: the minimum, one perturbed copy and one forward pass; directions are
    regenerated from their seeds at every evaluation.

    Sample losses are non-negative, so a point exceeds a limit as soon as the running sum exceeds limit × N. After
    `look_first_at`, samples with the largest losses come first, so that this happens early.

    Args:
        model: A network that maps a batch of inputs to logits; measured in eval mode.
        train: The training images, on the model's device.
        batch_size: Images per forward pass.
        precision: `float32` keeps the model's own precision; use `tf32` or `bfloat16` only if a trial confirmed their
            accuracy.
        compiled: Run forward passes through `torch.compile`.

    Raises:
        InputError: The model has no parameters, or does not return one logit per class.

    Example:
        >>> landscape = StreamedLoss(model, train)
        >>> landscape.at(landscape.minimum[None])  # the clean loss
    """

    def __init__(
        self,
        model: nn.Module,
        train: Images,
        *,
        batch_size: int = 125,
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        check_choice("precision", precision, get_args(Precision))
        if batch_size < 1:
            raise InputError(f"batch_size = {batch_size}: must be at least 1")
        parameters = {name: tensor.detach() for name, tensor in model.named_parameters()}
        if not parameters:
            raise InputError(f"{type(model).__name__} has no parameters: there is nothing to move")
        self.layout = ParameterLayout.of(parameters)
        self.minimum: Float[Tensor, " params"] = flatten(parameters)
        """The model's own parameters as one flat vector."""
        self.num_evaluations = 0.0
        """Passes over the training set so far; passes that stopped early count by their share."""
        self.train, self.batch_size, self.precision = train, batch_size, precision
        self.network = type(model).__name__
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        """Copy of the network, in eval mode."""
        self._point = self.minimum.clone()
        for tensor, view in zip(self.module.parameters(), self.layout.views(self._point), strict=True):
            tensor.data = view
        self._forward = torch.compile(self.module) if compiled else self.module
        size = train.pixels.numel() * self.minimum.element_size()
        self._cached = train.inputs(dtype=self.minimum.dtype) if size <= CACHED_BYTES else None
        self._order: Int[Tensor, " samples"] | None = None
        self._profile: Float[Tensor, " batches"] | None = None
        self._latest = torch.zeros(len(train), dtype=torch.float64)
        _check_classes(self.module, self._inputs(slice(0, 1)), train)

    def _inputs(self, where: slice | Int[Tensor, " chosen"]) -> Tensor:
        if self._cached is not None:
            return self._cached[where]
        return self.train.inputs(where, dtype=self.minimum.dtype)

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, slice]]:
        for start in range(0, len(self.train), self.batch_size):
            where = slice(start, min(start + self.batch_size, len(self.train)))
            chosen = where if self._order is None else self._order[where]
            yield self._inputs(chosen), self.train.labels[chosen], where

    @contextlib.contextmanager
    def _precisely(self) -> Iterator[None]:
        """Compute in the chosen precision; restore the process's settings afterwards."""
        before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self.precision == "tf32"
        try:
            with torch.autocast(self.minimum.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before

    def _losses(self, inputs: Tensor, labels: Tensor) -> Float[Tensor, " samples"]:
        """Loss of each sample of a batch, from logits in float32 or, if higher, the parameters' precision."""
        exact = torch.promote_types(self.minimum.dtype, torch.float32)
        return cross_entropy(self._forward(inputs).to(exact), labels).double()

    @torch.no_grad()
    def _evaluate(self, limit: float = math.inf) -> Evaluation:
        """Evaluate the perturbed copy on the training set; stop early once the loss is known to exceed the limit."""
        total, num, seen, last = 0.0, len(self.train), 0, 0
        losses = torch.full((num,), torch.nan, dtype=torch.float64)
        with self._precisely():
            for batch, (inputs, labels, where) in enumerate(self._batches()):
                last = batch
                losses[where] = self._losses(inputs, labels).cpu()
                total += float(losses[where].sum())
                seen = where.stop
                # The same division as in the result, so that both round alike.
                if not total / num <= limit:
                    break
        self.num_evaluations += seen / num
        if seen == num:
            if math.isfinite(total):
                self._latest[... if self._order is None else self._order.cpu()] = losses
            return Evaluation(total / num, 1.0)
        share = seen / num if self._profile is None else float(self._profile[last])
        beyond = total / num / max(share, 1e-12)
        return Evaluation(max(beyond, math.nextafter(limit, math.inf)) if math.isfinite(total) else total, seen / num)

    def look_first_at(self, losses: Float[Tensor, " samples"]) -> None:
        """Evaluate the samples with the largest of these losses first from now on.

        Args:
            losses: One per sample, in training-set order; best from a point just below the cutoff.
        """
        order = losses.argsort(descending=True, stable=True)
        self._order = order.to(self.train.pixels.device)
        running = losses[order].cumsum(0)
        ends = [where.stop - 1 for _, _, where in self._batches()]
        self._profile = running[ends] / running[-1].clamp_min(1e-300)

    def share_that_loses(self, fraction: float) -> float:
        """Smallest leading share of the reordered training set that accounts for `fraction` of its total loss."""
        if self._profile is None:
            return fraction
        batches = int(torch.searchsorted(self._profile, fraction)) + 1
        return min(1.0, batches * self.batch_size / len(self.train))

    @property
    def latest_losses(self) -> Float[Tensor, " samples"]:
        """Losses of all samples at the latest fully evaluated point, in training-set order."""
        return self._latest.clone()

    @torch.no_grad()
    def at(self, points: Float[Tensor, "points params"]) -> Float[Tensor, " points"]:
        """See `FlatLoss.at`."""
        return torch.tensor([self._at(point) for point in points], dtype=torch.float64)

    def _at(self, point: Tensor) -> float:
        self._point.copy_(point)
        return self._evaluate().loss

    @torch.no_grad()
    def along(
        self,
        center: Float[Tensor, " params"],
        directions: Float[Tensor, "rays params"],
        distances: Float[Tensor, " points"],
        rows: Int[Tensor, " points"] | None = None,
    ) -> Float[Tensor, " points"]:
        """See `FlatLoss.along`."""
        ray_of_point = range(len(distances)) if rows is None else rows.tolist()
        losses = []
        for row, distance in zip(ray_of_point, distances.tolist(), strict=True):
            torch.add(center, directions[row], alpha=distance, out=self._point)
            losses.append(self._evaluate().loss)
        return torch.tensor(losses, dtype=torch.float64)

    @torch.no_grad()
    def look_along(
        self, center: Float[Tensor, " params"], ray: Ray, distance: float, *, limit: float = math.inf
    ) -> Evaluation:
        """Evaluate the loss at a distance along a ray; stop early once it is known to exceed `limit`."""
        ray.place(self._point, center, distance)
        return self._evaluate(limit)

    @torch.no_grad()
    def rough_loss(self, center: Float[Tensor, " params"], ray: Ray, distance: float, *, share: float = 0.0) -> float:
        """Estimate the loss at a distance along a ray from a leading share of the samples.

        After `look_first_at`, these samples had the largest losses; their sum is divided by their share of the total at
        that time. The estimate is close along one ray, where the same few samples dominate. It costs `share` of a pass.

        Args:
            center: Start of the ray.
            ray: The direction.
            distance: Distance along it.
            share: Share of the training set to evaluate; at least one batch is used.
        """
        ray.place(self._point, center, distance)
        total, num, seen, scale = 0.0, len(self.train), 0, 1.0
        with self._precisely():
            for batch, (inputs, labels, where) in enumerate(self._batches()):
                total, seen = total + float(self._losses(inputs, labels).sum()), where.stop
                scale = seen / num if self._profile is None else float(self._profile[batch])
                if seen >= share * num:
                    break
        self.num_evaluations += seen / num
        return total / num / max(scale, 1e-12)

    def line(self, center: Float[Tensor, " params"], ray: Ray) -> StreamedLine:
        """Loss along one ray."""
        return StreamedLine(self, center, ray)

    def around(
        self,
        center: Float[Tensor, " params"] | None = None,
        normalization: Normalization | None = None,
        *,
        name: str | None = None,
    ) -> StreamedLandscape:
        """Return the landscape around a parameter vector, by default the model's own, for use with any probe."""
        return StreamedLandscape(self, self.minimum if center is None else center, normalization, name=name)

    def gradient(self, point: Float[Tensor, " params"]) -> tuple[float, Float[Tensor, " params"]]:
        """See `FlatLoss.gradient`; summed over batches."""
        total, slopes = 0.0, torch.zeros_like(point)
        for inputs, labels, _ in self._batches():
            leaf = point.detach().requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(self._call(leaf, inputs), labels).sum() / len(self.train)
                slopes += torch.autograd.grad(loss, leaf)[0]
            total += float(loss.detach())
        return total, slopes

    @torch.no_grad()
    def logits(self, point: Float[Tensor, " params"]) -> Float[Tensor, "samples classes"]:
        """Outputs for every sample, in training-set order, on the CPU."""
        self._point.copy_(point)
        self.num_evaluations += 1
        outputs = torch.cat([self.module(inputs).cpu() for inputs, _, _ in self._batches()])
        return outputs if self._order is None else outputs[self._order.cpu().argsort()]

    @torch.no_grad()
    def logits_along(
        self, center: Float[Tensor, " params"], ray: Ray, distance: float, images: Images
    ) -> Float[Tensor, "images classes"]:
        """Outputs for other images at a distance along a ray, in one forward pass, on the CPU."""
        ray.place(self._point, center, distance)
        return self.module(images.inputs(dtype=self.minimum.dtype)).cpu()

    def second_derivative(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"]
    ) -> Float[Tensor, " rays"]:
        """See `FlatLoss.second_derivative`."""
        return self.second_derivatives(center, directions, scales=(1.0,))[0]

    @torch.no_grad()
    def second_derivatives(
        self, center: Float[Tensor, " params"], directions: Float[Tensor, "rays params"], *, scales: Sequence[float]
    ) -> Float[Tensor, "scales rays"]:
        """Second derivative along each direction, at several scales of the last layer.

        Scaling the last layer scales its filter-normalised directions, the logits and their derivatives along a line by
        the same factor: one pass of nested forward-mode differentiation serves all scales.

        Args:
            center: The minimum.
            directions: Filter-normalised directions around it, without biases.
            scales: Factors of the last layer; 1 is the minimum itself.

        Returns:
            dᵀHd in nats, float64 on the CPU.
        """
        num, curvatures = len(self.train), torch.zeros(len(scales), len(directions), dtype=torch.float64)
        zero, one = center.new_zeros(()), center.new_ones(())
        for k, direction in enumerate(directions):
            for inputs, labels, where in self._batches():

                def logits(distance: Tensor, inputs: Tensor = inputs, direction: Tensor = direction) -> Tensor:
                    return self._call(center + distance * direction, inputs)

                def slope(distance: Tensor, logits: Callable = logits) -> Any:
                    return torch.func.jvp(logits, (distance,), (one,))

                taylor: Any = torch.func.jvp(slope, (zero,), (one,))
                (value, first), (_, second) = taylor
                for j, scale in enumerate(scales):
                    mean = cross_entropy_second_derivative(scale * value, scale * first, scale * second, labels)
                    curvatures[j, k] += float(mean) * (where.stop - where.start) / num
        return curvatures

    def hessian_vector_product(
        self, center: Float[Tensor, " params"], vector: Float[Tensor, " params"]
    ) -> Float[Tensor, " params"]:
        """See `FlatLoss.hessian_vector_product`; summed over batches."""
        total = torch.zeros_like(vector)
        for inputs, labels, _ in self._batches():
            leaf = center.detach().requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(self._call(leaf, inputs), labels).sum() / len(self.train)
                (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
                total += torch.autograd.grad(gradient, leaf, vector)[0]
        return total

    def _call(self, point: Tensor, inputs: Tensor) -> Tensor:
        """Evaluate the network at a point, differentiable with respect to it."""
        tensors = dict(zip(self.layout.names, self.layout.views(point), strict=True))
        return torch.func.functional_call(self.module, tensors, (inputs,))


class StreamedLandscape(FlatLandscape):
    """Landscape around one point of a `StreamedLoss`; points are evaluated one by one, only up to a limit on lines."""

    def __init__(
        self,
        loss: StreamedLoss,
        center: Float[Tensor, " params"],
        normalization: Normalization | None = None,
        *,
        name: str | None = None,
    ) -> None:
        super().__init__(loss, center, normalization, name=name or loss.network, points_at_once=1)
        self.streamed = loss

    @property
    def names(self) -> Names:
        """See `FlatLandscape`; buffers included."""
        return names_of(self.streamed.module)

    def named_tensors(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Landscape`."""
        return self.named(self.point), dict(self.streamed.module.named_buffers())

    @torch.no_grad()
    def loss_of(self, state: Mapping[str, Any]) -> float:
        """See `Landscape`; with the state's own buffers, such as running statistics."""
        given = self.effective(state)
        own = {name: buffer for name, buffer in self.streamed.module.named_buffers() if name in given}
        before = {name: buffer.clone() for name, buffer in own.items()}
        try:
            for name, buffer in own.items():
                buffer.copy_(given[name])
            return super().loss_of(given)
        finally:
            for name, buffer in own.items():
                buffer.copy_(before[name])

    def line(self, direction: Any) -> Line:
        """See `Landscape.line`; evaluation stops early above the limit."""
        if isinstance(direction, SeededDirection):
            return self.streamed.line(self.point, direction.ray)
        return super().line(direction)


@dataclass(frozen=True)
class StreamedLine:
    """Loss along one ray; see `landscape.protocol.Line`."""

    landscape: StreamedLoss
    center: Float[Tensor, " params"]
    ray: Ray

    def look(self, distance: float, *, limit: float) -> Evaluation:
        """Evaluate the loss; stop early once it is known to exceed the limit."""
        return self.landscape.look_along(self.center, self.ray, distance, limit=limit)

    def rough(self, distance: float, *, share: float) -> Evaluation:
        """Estimate the loss from a leading share of the samples."""
        before = self.landscape.num_evaluations
        loss = self.landscape.rough_loss(self.center, self.ray, distance, share=share)
        return Evaluation(loss, self.landscape.num_evaluations - before)

    def worst_first(self, fraction: float) -> float:
        """Put the samples with the largest losses first; return the leading share with this fraction of the loss."""
        self.landscape.look_first_at(self.landscape.latest_losses)
        return self.landscape.share_that_loses(fraction)


@torch.no_grad()
def _check_classes(module: nn.Module, inputs: Tensor, train: Images) -> None:
    """Refuse a network whose outputs are not one logit per class."""
    shape = tuple(module(inputs).shape)
    if shape != (1, train.num_classes):
        raise InputError(
            f"{type(module).__name__} returns shape {shape} for one image: with {train.num_classes} classes, "
            f"(1, {train.num_classes}) is needed"
        )
