"""Records a forward pass and finds which axes of its tensors may be permuted without a change of the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from basinscope.landscape.symmetry.axes import Dim, dim, fix, unite

Dims = list[Dim]
"""Dimensions of one tensor."""
Found = Sequence[Dims | Callable[[], Dims] | None] | None
"""Dimensions of each tensor of a result, or a function that finds them once they are used; None for fixed ones."""
Rule = Callable[["Recording", Any, tuple[Any, ...], dict[str, Any]], Found]
"""Given the recording, an operation's result and its arguments, returns the dimensions of the result."""
CONSTANTS = frozenset(
    ["scalar_tensor", *(how.format(what) for how in ("{}", "{}_like", "new_{}") for what in ("zeros", "ones", "full"))]
)
"""Operations that return equal entries."""
RESHAPED = frozenset(["t_", "transpose_", "squeeze_", "unsqueeze_"])
"""Operations that write a tensor's shape, not its entries."""


class Recording(TorchDispatchMode):
    """Follows the axes of tensors through every operation.

    An operation that no rule describes fixes all axes of its tensors, so that only permutations remain that every
    operation passes on.

    Args:
        rules: Rules by name of the operation, without its overload.
        named: Tensors of the network whose axes may be permuted, by name.
    """

    def __init__(self, rules: Mapping[str, Rule], named: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.rules = rules
        self.named: dict[str, Dims] = {}
        self._known: dict[int, tuple[Tensor, Dims | Callable[[], Dims]]] = {}
        self._shared: dict[int, list[int]] = {}
        """Identities of the known tensors in each storage."""
        self._uniform: set[int] = set()
        """Identities of tensors whose entries are all equal, so that every use of one has new axes."""
        self._reached: set[int] = set()
        self.unknown: set[str] = set()
        """Operations without a rule that took part in the pass."""
        for name, tensor in named.items():
            usable = tensor.is_floating_point() and tensor.numel() > 0
            self.named[name] = self._enter(tensor, free(tensor) if usable else fixed(tensor))

    def reached(self, tensor: Tensor) -> bool:
        """Whether a tensor took part in an operation."""
        return id(tensor) in self._reached

    def dims(self, tensor: Tensor) -> Dims:
        """Dimensions of a tensor; an unknown one, such as an input, is fixed."""
        if id(tensor) in self._uniform:
            return free(tensor)
        known = self._known.get(id(tensor))
        if known is None:
            return self._enter(tensor, fixed(tensor))
        found = known[1]
        if not callable(found):
            return found
        dims = found()
        self._known[id(tensor)] = (tensor, dims)
        return dims

    def _enter(self, tensor: Tensor, dims: Any) -> Any:
        # The tensor is kept, so that neither its identity nor its memory is used again.
        self._known[id(tensor)] = (tensor, dims)
        self._shared.setdefault(_storage(tensor), []).append(id(tensor))
        return dims

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and follow the axes of its tensors."""
        del types
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        if name not in self.rules and torch.is_inference_mode_enabled():
            with self:
                composed = func.decompose(*args, **kwargs)
            if composed is not NotImplemented:
                return composed
        self._reached.update(map(id, _tensors((args, kwargs))))
        result = func(*args, **kwargs)
        written = [t for t in _written(func, args, kwargs) if isinstance(t, Tensor)]
        outputs = [t for t in _tensors(result) if not any(t is w for w in written)]
        rule = self.rules.get(name.removesuffix("_") if written else name)
        found = None if rule is None else rule(self, result, args, kwargs)
        if found is None:
            self.unknown.update([name] if outputs or written else [])
            self.fix((args, kwargs))
            found = [None] * len(_tensors(result))
        results = dict(zip(map(id, _tensors(result)), found, strict=True))
        for tensor in written:
            self._write(tensor, name, results.get(id(tensor)))
        inputs = _tensors((args, kwargs))
        uniform = name in CONSTANTS or (bool(inputs) and all(id(t) in self._uniform for t in inputs))
        for tensor, dims in zip(_tensors(result), found, strict=True):
            self._uniform.discard(id(tensor))
            self._enter(tensor, fixed(tensor) if dims is None or not tensor.numel() else dims)
            if uniform and dims is not None and rule is not None:
                self._uniform.add(id(tensor))
        return result

    def _write(self, tensor: Tensor, name: str, dims: Any) -> None:
        """Follow a tensor that an operation overwrites; other views of its memory have the same axes."""
        aliases = self._shared.get(_storage(tensor), [])
        if any(k in self._uniform for k in aliases) and len(aliases) > 1:
            self.fix([self._known[k][0] for k in aliases])
            for d in dims or ():
                fix(d)
        elif name not in RESHAPED and id(tensor) not in self._uniform:
            for one, two in zip(self.dims(tensor), dims or (), strict=False):
                unite(one, two)

    def fix(self, tree: Any) -> None:
        """Fix all axes of the tensors in a structure."""
        for tensor in _tensors(tree):
            if id(tensor) in self._uniform:
                self._uniform.discard(id(tensor))
                self._enter(tensor, fixed(tensor))
            for d in self.dims(tensor):
                fix(d)


def free(tensor: Tensor) -> Dims:
    """New axes that may be permuted."""
    return [dim(size) for size in tensor.shape]


def fixed(tensor: Tensor) -> Dims:
    """New axes that may not."""
    return [dim(size, fixed=True) for size in tensor.shape]


def _storage(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr() or id(tensor)
    except (NotImplementedError, RuntimeError):  # sparse tensors have none
        return id(tensor)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_flatten(tree)[0] if isinstance(leaf, Tensor)]


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterable[Any]:
    """Arguments that an operation writes to, by its schema."""
    for k, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[k] if k < len(args) else kwargs.get(argument.name)
            yield from _tensors(value)
