"""Recognises chains of linear layers and elementwise activations, and evaluates them at many points at once.

Networks are traced symbolically (`torch.fx`), so custom classes with an ordinary `forward` are recognised as well as
`nn.Sequential`. Each layer is one batched product over all points.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from basinscope.landscape.filters import Filters

_MODULES = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.CELU,
    nn.SELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanhshrink,
    nn.LogSigmoid,
    nn.Identity,
)
"""Elementwise layers without parameters or buffers."""
_FUNCTIONS = {
    torch.relu,
    torch.tanh,
    torch.sigmoid,
    torch.sin,
    torch.cos,
    functional.relu,
    functional.relu6,
    functional.leaky_relu,
    functional.elu,
    functional.gelu,
    functional.silu,
    functional.mish,
    functional.tanh,
    functional.sigmoid,
    functional.softplus,
    functional.hardtanh,
}
"""Elementwise functions."""
_METHODS = {"relu", "tanh", "sigmoid", "sin", "cos"}
"""Elementwise methods of a tensor."""
Apply = Callable[[Tensor], Tensor]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class Linear:
    """A linear layer: each tensor as its index among the moved tensors, or, if frozen, the tensor itself."""

    weight: int | Tensor
    bias: int | Tensor | None


@dataclass(frozen=True)
class Chain:
    """A sequence of linear layers and elementwise functions."""

    head: tuple[Apply, ...]
    """Functions of the input before the first linear layer, independent of the moved tensors."""
    body: tuple[Linear | Apply, ...]
    """From the first linear layer to the last, with elementwise functions between."""
    tail: tuple[Apply, ...]
    """Functions of the last linear layer's outputs, of any kind."""
    shapes: tuple[torch.Size, ...]
    """Shapes of the moved tensors."""

    @torch.no_grad()
    def outputs(self, tensors: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Evaluate the body at many points.

        Args:
            tensors: The moved tensors, each of shape `(points, *shape)`.
            inputs: Shape `(*samples, features)`, after the head.

        Returns:
            Outputs of shape `(points, *samples, units)`, before the `tail`.
        """
        num, lead = len(tensors[0]), inputs.shape[:-1]
        # Batched products are fastest with samples along the last, contiguous axis.
        hidden = inputs.reshape(-1, inputs.shape[-1]).T.expand(num, -1, -1)
        for step in self.body:
            if isinstance(step, Linear):
                weight = _stacked(step.weight, tensors, num)
                if step.bias is None:
                    hidden = torch.bmm(weight, hidden)
                else:
                    hidden = torch.baddbmm(_stacked(step.bias, tensors, num).unsqueeze(-1), weight, hidden)
            elif step is functional.relu:
                hidden = hidden.relu_()  # in place: a product has just written it
            else:
                hidden = step(hidden)
        return hidden.transpose(1, 2).reshape(num, *lead, -1)

    def finished(self, outputs: Tensor) -> Tensor:
        """Apply the tail to the outputs of one point."""
        for step in self.tail:
            outputs = step(outputs)
        return outputs

    def prepared(self, inputs: Tensor) -> Tensor:
        """Apply the head to the input of the network."""
        for step in self.head:
            inputs = step(inputs)
        return inputs

    @property
    def rectifies(self) -> bool:
        """Whether the body alternates linear layers with biases and ReLU, as the C kernel requires."""
        kinds = [isinstance(step, Linear) for step in self.body]
        alternates = kinds == [k % 2 == 0 for k in range(len(kinds))]
        linear = all(step.bias is not None for step in self.body if isinstance(step, Linear))
        return alternates and linear and all(step is functional.relu for step in self.body[1::2])

    @property
    def widest(self) -> int:
        """Units of the two widest layers: an upper bound on the values in memory at once."""
        return sum(sorted(self._widths)[-2:])

    @property
    def _widths(self) -> list[int]:
        shapes = [self.shapes[s.weight] if isinstance(s.weight, int) else s.weight.shape for s in self._linear]
        return [shapes[0][1], *(shape[0] for shape in shapes)]

    @property
    def _linear(self) -> list[Linear]:
        return [step for step in self.body if isinstance(step, Linear)]

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each layer, from the inputs of the first linear layer to the outputs of the last."""
        return tuple(self._widths)

    def constants(self) -> list[int | Tensor]:
        """Weights and biases of the body, layer by layer."""
        pairs = [(step.weight, step.bias) for step in self.body if isinstance(step, Linear)]
        return [tensor for tensor in itertools.chain(*pairs) if tensor is not None]


def _stacked(tensor: int | Tensor, tensors: Sequence[Tensor], num: int) -> Tensor:
    return tensors[tensor] if isinstance(tensor, int) else tensor.expand(num, *tensor.shape)


class _NoChainError(Exception):
    """The network is not a chain."""


class _Tracer(fx.Tracer):
    """Traces a network down to torch's own layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        return type(m).__module__.startswith("torch.nn") and not isinstance(m, nn.Sequential)


def recognised(model: nn.Module, filters: Sequence[Filters]) -> Chain | None:
    """Recognise a chain of linear layers; None for any other network.

    Args:
        model: The working copy.
        filters: The moved tensors; all must be weights or biases of its linear layers.
    """
    for module in model.modules():
        # Hooks, a replaced forward and parametrisations change what a layer computes.
        if any(getattr(module, name) for name in _HOOKS) or "forward" in vars(module):
            return None
        if isinstance(module, nn.Linear) and type(module) is not nn.Linear:
            return None
    if _shares(model):
        return None
    moved = {f.name: index for index, f in enumerate(filters)}
    shapes = tuple(f.shape for f in filters)
    try:
        if type(model) is nn.Sequential:
            used: set[int] = set()
            return _cut([_layer(name, module, moved, used) for name, module in _flattened(model)], used, moved, shapes)
        with torch.no_grad():
            graph = _Tracer().trace(model)
        return _chain(list(graph.nodes), model, moved, shapes)
    except Exception:  # tracing can fail with any exception
        return None


def _shares(model: nn.Module) -> bool:
    """Whether a parameter is shared by several layers; only one of them would be recognised as moved."""
    tensors = [id(tensor) for _, tensor in model.named_parameters(remove_duplicate=False)]
    return len(tensors) != len(set(tensors))


def _flattened(model: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Layers of nested `nn.Sequential` in order; cheaper than tracing."""
    # Not `named_children`, which skips a layer that occurs a second time.
    for name, module in model._modules.items():
        if module is None:
            continue
        if type(module) is nn.Sequential:
            yield from _flattened(module, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


def _chain(nodes: list[fx.Node], model: nn.Module, moved: dict[str, int], shapes: tuple[torch.Size, ...]) -> Chain:
    steps: list[tuple[Linear | Apply, bool]] = []
    used: set[int] = set()
    *inner, last = nodes
    previous = inner[0]
    if previous.op != "placeholder" or last.op != "output" or last.args != (inner[-1],):
        raise _NoChainError
    for node in inner[1:]:
        if node.op == "placeholder":
            raise _NoChainError
        if node.args[:1] != (previous,) or _others(node):
            raise _NoChainError
        steps.append(_step(node, model, moved, used))
        previous = node
    return _cut(steps, used, moved, shapes)


def _cut(
    kinds: Sequence[tuple[Linear | Apply, bool]], used: set[int], moved: dict[str, int], shapes: tuple[torch.Size, ...]
) -> Chain:
    """Split steps into head, body and tail.

    Raises:
        _NoChainError: A step between linear layers is not elementwise, or a moved tensor belongs to no linear layer.
    """
    steps, elementwise = [step for step, _ in kinds], [plain for _, plain in kinds]
    linear = [k for k, step in enumerate(steps) if isinstance(step, Linear)]
    if not linear or used != set(moved.values()):
        raise _NoChainError
    first, final = linear[0], linear[-1]
    if not all(elementwise[first : final + 1]):
        raise _NoChainError
    head, tail = steps[:first], steps[final + 1 :]
    return Chain(
        tuple(s for s in head if not isinstance(s, Linear)),
        tuple(steps[first : final + 1]),
        tuple(s for s in tail if not isinstance(s, Linear)),
        shapes,
    )


def _others(node: fx.Node) -> bool:
    """Whether a node uses any result besides its first argument."""
    return len(node.all_input_nodes) != 1


def _step(node: fx.Node, model: nn.Module, moved: dict[str, int], used: set[int]) -> tuple[Linear | Apply, bool]:
    """Function computed by a node, and whether it is a linear layer or elementwise."""
    target, arguments, options = node.target, node.args[1:], dict(node.kwargs)
    if node.op == "call_module" and not arguments and not options:
        return _layer(str(target), model.get_submodule(str(target)), moved, used)
    if node.op == "call_function" and callable(target) and target is not operator.getitem:
        function: Any = target
        if function is torch.relu:
            return functional.relu, True
        apply = partial(_call, function, arguments, options) if arguments or options else function
        return apply, function in _FUNCTIONS
    if node.op == "call_method":
        method = str(target)
        if method == "relu":
            return functional.relu, True
        return partial(_call_method, method, arguments, options), method in _METHODS
    raise _NoChainError


def _call(function: Any, arguments: Any, options: Any, value: Tensor) -> Tensor:
    return function(value, *arguments, **options)


def _call_method(method: str, arguments: Any, options: Any, value: Tensor) -> Tensor:
    return getattr(value, method)(*arguments, **options)


def _layer(name: str, module: nn.Module, moved: dict[str, int], used: set[int]) -> tuple[Linear | Apply, bool]:
    """Function computed by a layer, and whether it is linear or elementwise."""
    if type(module) is nn.Linear:
        parts: list[int | Tensor | None] = []
        for part in ("weight", "bias"):
            index = moved.get(f"{name}.{part}")
            if index is not None:
                used.add(index)
            parts.append(getattr(module, part) if index is None else index)
        weight, bias = parts
        assert weight is not None
        return Linear(weight, bias), True
    if any(True for _ in itertools.chain(module.parameters(), module.buffers())):
        raise _NoChainError
    if isinstance(module, nn.modules.dropout._DropoutNd) and not module.training:
        return _same, True
    if type(module) is nn.ReLU:
        return functional.relu, True
    return module, type(module) in _MODULES


def _same(value: Tensor) -> Tensor:
    return value
