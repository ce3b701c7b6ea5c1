"""Proximal backpropagation: implicit steps in place of gradient steps for hidden layers."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, unfold
from torch.nn.grad import conv2d_weight
from torch.utils.hooks import RemovableHandle

from basinscope.errors import InputError, check_choice

Base = Literal["sgd", "nesterov", "adam"]
Exact = Literal["exact"]


def _padding(layer: nn.Conv2d) -> tuple[int, ...]:
    """Return the padding, which `hidden_layers` has checked to be numeric."""
    assert not isinstance(layer.padding, str)
    return layer.padding


@dataclass(frozen=True)
class LayerMap:
    """The linear map W ↦ A W from a layer's weight to its output without bias."""

    layer: nn.Linear | nn.Conv2d
    """The layer; its stride, padding, dilation and groups are read."""
    inputs: Float[Tensor, "samples *_"]
    """Its inputs; a convolution's patches, the rows of A, are never stored."""

    def curvature(self, weight: Tensor) -> Tensor:
        """Compute AᵀA W / samples, in the weight's shape."""
        layer, inputs = self.layer, self.inputs
        if isinstance(layer, nn.Linear):
            rows = inputs.flatten(0, -2)
            return linear(rows, weight).T @ rows / len(inputs)
        where = (layer.stride, _padding(layer), layer.dilation, layer.groups)
        outputs = conv2d(inputs, weight, None, *where)
        # Torch's annotations require single numbers, but it accepts pairs.
        adjoint: Callable[..., Tensor] = conv2d_weight
        return adjoint(inputs, weight.shape, outputs, *where) / len(inputs)

    def gram(self) -> Float[Tensor, "groups fan_in fan_in"]:
        """Compute AᵀA / samples as a matrix, one per group of channels."""
        layer, inputs = self.layer, self.inputs
        if isinstance(layer, nn.Linear):
            rows = inputs.flatten(0, -2)
            return (rows.T @ rows / len(inputs)).unsqueeze(0)
        patches = unfold(inputs, layer.kernel_size, layer.dilation, _padding(layer), layer.stride)
        grouped = patches.unflatten(1, (layer.groups, -1)).permute(1, 0, 3, 2).flatten(1, 2)
        return grouped.mT @ grouped / len(inputs)


def exact_step(layer: LayerMap, gradient: Tensor, tau: float) -> Tensor:
    """Solve (AᵀA / samples + I / τ) X = gradient by Cholesky factorisation.

    Args:
        layer: The layer and its inputs.
        gradient: Gradient of the mean loss, in the weight's shape.
        tau: Length of the implicit step.

    Returns:
        X, in the weight's shape; the layer moves along −X.
    """
    gram = layer.gram()
    gram.diagonal(dim1=1, dim2=2).add_(1 / tau)
    columns = gradient.reshape(len(gram), -1, gram.shape[1]).mT
    return torch.cholesky_solve(columns, torch.linalg.cholesky(gram)).mT.reshape(gradient.shape)


def conjugate_gradient_step(layer: LayerMap, gradient: Tensor, tau: float, num_steps: int) -> Tensor:
    """Solve the system of `exact_step` approximately, by conjugate gradients from zero.

    Each output unit has its own system; all are solved in parallel. Any number of steps gives a descent direction.

    Args:
        layer: The layer and its inputs.
        gradient: Gradient of the mean loss, in the weight's shape.
        tau: Length of the implicit step.
        num_steps: Products with AᵀA.

    Returns:
        X, in the weight's shape; the layer moves along −X.

    References:
        Hestenes and Stiefel 1952.
    """
    every = tuple(range(1, gradient.ndim))

    def squares(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum(every, keepdim=True)

    # Units with zero residual, such as dead ones, do not move: 0 / tiny is 0.
    tiny = torch.finfo(gradient.dtype).tiny
    solution, residual, search = torch.zeros_like(gradient), gradient.clone(), gradient
    length = squares(residual, residual)
    for _ in range(num_steps):
        image = layer.curvature(search) + search / tau
        stride = length / squares(search, image).clamp(min=tiny)
        solution.add_(stride * search)
        residual.sub_(stride * image)
        before, length = length, squares(residual, residual)
        search = residual + length / before.clamp(min=tiny) * search
    return solution


def _start_base(base: Base, parameters: list[nn.Parameter], lr: float, momentum: float) -> torch.optim.Optimizer:
    """Create the first-order method to which the implicit steps are passed as gradients."""
    check_choice("base", base, get_args(Base))
    if base == "adam":
        return torch.optim.Adam(parameters, lr=lr)
    if base == "nesterov":
        return torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=True)
    return torch.optim.SGD(parameters, lr=lr)


def hidden_layers(model: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """Find the layers that take implicit steps: all Linear and Conv2d layers but the last, in registration order.

    Raises:
        InputError: A convolution uses padding other than a given number of zeros.
    """
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    hidden = dict(list(layers.items())[:-1])
    for name, layer in hidden.items():
        if isinstance(layer, nn.Conv2d) and (layer.padding_mode != "zeros" or isinstance(layer.padding, str)):
            raise InputError(f"layer {name!r}: ProxProp needs zero padding given as a number of pixels")
    return hidden


def _recorder(seen: dict[nn.Module, list[Tensor]]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    """Create the hook that records a layer's input in training mode, once a gradient reaches the layer's output.

    A copy of the network shares the hook, because functions are not copied, but its layers are not in `seen`.
    """

    def record(layer: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        if layer.training and output.requires_grad and layer in seen:
            inputs = arguments[0].detach()
            output.register_hook(lambda _: seen[layer].append(inputs))

    return record


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()


class ProxProp(torch.optim.Optimizer):
    """Proximal backpropagation (ProxProp) with gradient descent, Nesterov's momentum or Adam on top.

    For a hidden Linear or Conv2d layer with weight W whose input patches are the rows of A, the gradient of the mean
    loss, ∇, is replaced by −(W⁺ − W) of an implicit step:

        W⁺ = argmin_V 1/(2n) |A V − (A W − n ∂L/∂z)|² + 1/(2τ) |V − W|²,    W − W⁺ = (AᵀA / n + I / τ)⁻¹ ∇,

    where z = A W and n is the number of samples. Biases, BatchNorm and the last layer keep their gradients. The base
    method then treats all of them as gradients.

    With AᵀA averaged over samples, as the loss is, a batch repeated twice gives the same step. Frerix et al. sum it:
    their τ at batches of n is n·τ here, where the step is then n times theirs. They used batches of 500: their τ = 1
    for Adam, whose steps do not depend on the scale, is 500 here; their τ = 0.05 and rate 1 for Nesterov are 25 and
    0.002. Their implicit steps include the biases of hidden layers.

    Inputs are recorded only in training mode, and only for passes with a backward pass; several passes between two
    steps count as one batch. `close`, or deleting the optimizer, removes the hooks from the model.

    Args:
        model: The network; all its parameters are trained.
        lr: Learning rate of the base method.
        tau: τ, above 0; as it approaches 0 the step becomes τ times the gradient.
        num_cg: Conjugate-gradient steps for each layer, or "exact".
        base: Base method: "sgd", "nesterov" or "adam".
        momentum: Momentum of "nesterov".

    Raises:
        InputError: A setting is invalid; at a step: a hidden layer has a gradient but was not in training mode.

    References:
        Frerix, Möllenhoff, Moeller and Cremers 2018, arXiv 1706.04638.

    Example:
        >>> optimizer = ProxProp(network, lr=1e-3)
        >>> network(inputs).square().mean().backward()
        >>> optimizer.step()
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float,
        *,
        tau: float = 500.0,
        num_cg: int | Exact = 3,
        base: Base = "adam",
        momentum: float = 0.95,
    ) -> None:
        if not tau > 0:
            raise InputError(f"tau = {tau:g}: ProxProp needs a positive step")
        if num_cg != "exact" and (isinstance(num_cg, str) or num_cg < 1):
            raise InputError(f"num_cg = {num_cg!r}: give a number of steps of at least 1, or 'exact'")
        self.tau, self.num_cg = tau, num_cg
        self.layers = hidden_layers(model)
        self._base = _start_base(base, list(model.parameters()), lr, momentum)
        super().__init__(self._base.param_groups, self._base.defaults)
        self._share()
        self._seen: dict[nn.Module, list[Tensor]] = {layer: [] for layer in self.layers.values()}
        record = _recorder(self._seen)
        handles = [layer.register_forward_hook(record) for layer in self.layers.values()]
        # The hooks refer to the recorded inputs, not to the optimizer, so that it can be garbage-collected.
        self._finalizer = weakref.finalize(self, _remove, handles)

    def _share(self) -> None:
        """Share this optimizer's groups and state with the base method, so that they are saved and scheduled here."""
        self._base.state, self._base.param_groups = self.state, self.param_groups

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state; see `torch.optim.Optimizer.load_state_dict`."""
        super().load_state_dict(state_dict)
        self._share()

    def close(self) -> None:
        """Remove the hooks from the model; repeated calls do nothing."""
        self._finalizer()

    def _implicit(self, name: str, layer: nn.Linear | nn.Conv2d, gradient: Tensor) -> Tensor:
        """Convert a hidden layer's gradient to its implicit step."""
        passes = self._seen[layer]
        if not passes:
            raise InputError(f"layer {name!r} has a gradient but no recorded input: train the model in training mode")
        linear_map = LayerMap(layer, torch.cat(passes).to(gradient.dtype))
        if isinstance(self.num_cg, str):
            return exact_step(linear_map, gradient, self.tau)
        return conjugate_gradient_step(linear_map, gradient, self.tau, self.num_cg)

    def step(self, closure: Callable[[], Tensor | float] | None = None) -> Tensor | float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update all parameters once; their `grad` is unchanged.

        Args:
            closure: Recomputes the loss and its gradients; without it the present gradients are used.

        Returns:
            The closure's return value.
        """
        loss = None
        if closure is not None:
            for passes in self._seen.values():
                passes.clear()
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            gradients = {layer.weight: layer.weight.grad for layer in self.layers.values()}
            steps = {
                layer.weight: self._implicit(name, layer, layer.weight.grad)
                for name, layer in self.layers.items()
                if layer.weight.grad is not None
            }
            for weight, implicit in steps.items():
                weight.grad = implicit
            self._base.step()
            for weight, gradient in gradients.items():
                weight.grad = gradient
        for passes in self._seen.values():
            passes.clear()
        return loss
