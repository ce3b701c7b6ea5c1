"""Which tensors of a network directions perturb, and what counts as a filter in each kind of layer.

| layer                                             | tensor           | a filter is                                   |
|---------------------------------------------------|------------------|-----------------------------------------------|
| `Linear`, `Bilinear`, `LazyLinear`                | `weight`         | the weights of one output: axis 0             |
| `Conv1d` to `Conv3d`                              | `weight`         | one output channel: axis 0                    |
| `ConvTranspose1d` to `ConvTranspose3d`            | `weight`         | one output channel: axis 1 within its group   |
| `Conv1D` of Hugging Face (GPT-2)                  | `weight`         | the weights of one output: axis 1             |
| `Embedding`, `EmbeddingBag`                       | `weight`         | the vector of one token: axis 0               |
| `MultiheadAttention`, `RNN`, `LSTM`, `GRU`        | matrices         | the weights of one projection or gate: axis 0 |
| any other layer                                   | three axes       | one row of a stack of matrices, such as the   |
|                                                   |                  | weights of one output of a fused expert       |
| any other layer                                   | two, four, …     | one index of axis 0                           |
| any layer                                         | one axis or none | the whole tensor; not moved by default        |

Biases, the scales and shifts of BatchNorm, LayerNorm, GroupNorm and RMSNorm, class tokens and gates have at most one
axis. A parametrised tensor (`torch.nn.utils.parametrize`) is split like its layer's weight. Tied tensors count once,
split as in the first layer that holds them. Buffers, such as running statistics, and integer tensors are never
perturbed; nor are filters of norm 0. The vector at an embedding's `padding_idx`, which gets no gradient, is perturbed
only if the tensor is tied to another layer's. A complex tensor is split like a real one, with both parts of an entry in
the same filter. Masks, such as those of pruning, exclude single entries (see `masks`).
"""

from __future__ import annotations

import fnmatch
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from basinscope.errors import InputError, check_choice

OneDim = Literal["fixed", "moved"]


def one_dim_choice(value: str, *, stacklevel: int = 3) -> OneDim:
    """Validate `one_dim`; `tensor`, the name of `moved` before 0.2, is accepted with a warning.

    Args:
        value: The value.
        stacklevel: Frames between the warning and the user's line.

    Raises:
        InputError: The value is unknown.
    """
    if value == "tensor":
        warnings.warn("one_dim='tensor' is now called one_dim='moved'", FutureWarning, stacklevel=stacklevel)
        return "moved"
    check_choice("one_dim", value, get_args(OneDim))
    return cast("OneDim", value)


Choice = str | Sequence[str] | Callable[[str, Tensor], bool]
"""Shell patterns of dotted names, or a function of name and tensor that returns whether the tensor is moved."""


@dataclass(frozen=True)
class Filters:
    """One tensor that directions move, and how it is split into filters."""

    name: str
    """Dotted name, as in `named_parameters`."""
    shape: torch.Size
    """Shape of the tensor as real numbers: that of a complex one has a last axis of real and imaginary parts."""
    split: tuple[int, ...]
    """The shape, with groups on an axis of their own."""
    inner: tuple[int, ...]
    """Axes of `split` that lie within a filter."""
    still: int | None = None
    """Index on axis 0 that is not perturbed."""
    stream: int | None = None
    """Number of the tensor's random stream, if not its position among the moved tensors."""
    is_complex: bool = False
    """Whether the tensor is complex."""
    mask: Tensor | None = field(default=None, compare=False, repr=False)
    """True at the entries that are perturbed, in the shape of the tensor; None if there is no mask."""
    num_resting: int = 0
    """Number of entries that the mask excludes."""

    @property
    def size(self) -> int:
        """Number of entries, perturbed or not."""
        return math.prod(self.shape)

    @property
    def num_moved(self) -> int:
        """Number of entries in n: those that the mask does not exclude."""
        return self.size - self.num_resting

    @property
    def num_filters(self) -> int:
        """Number of filters in the tensor."""
        return self.size // max(1, math.prod(self.split[axis] for axis in self.inner))

    def norms(self, tensor: Tensor) -> Tensor:
        """Norm of each filter's perturbed entries, in the shape of `split` with 1 on the inner axes."""
        return torch.linalg.vector_norm(self.masked(tensor).reshape(self.split), dim=self.inner, keepdim=True)

    def root_mean_squares(self, tensor: Tensor) -> Tensor:
        """‖w_f‖/√dim_f at each entry, with dim_f the number of perturbed entries of its filter."""
        norms = self.norms(tensor)
        if self.mask is None:
            scales = norms / math.sqrt(math.prod(self.split[axis] for axis in self.inner))
        else:
            entries = self.mask.reshape(self.split).sum(self.inner, keepdim=True)
            scales = norms / entries.clamp_min(1).to(norms).sqrt()
        return scales.expand(self.split).reshape(self.shape)

    def excluding(self, mask: Tensor) -> Filters:
        """The same filters with a mask: a boolean tensor of their shape, True at the entries that are perturbed."""
        return replace(self, mask=mask, num_resting=int((~mask).sum()))

    def masked(self, tensor: Tensor) -> Tensor:
        """The tensor with 0 at the entries that the mask excludes; it may have further axes in front."""
        return tensor if self.mask is None else torch.where(self.mask.to(tensor.device), tensor, 0.0)

    def picked(self, tensor: Tensor) -> Tensor:
        """The entries that the mask does not exclude, as a vector."""
        return tensor.reshape(-1) if self.mask is None else tensor[self.mask.to(tensor.device)]

    def placed(self, vector: Tensor) -> Tensor:
        """Inverse of `picked`: a tensor with 0 at the other entries."""
        if self.mask is None:
            return vector.view(self.shape)
        mask = self.mask.to(vector.device)
        return torch.zeros(self.shape, dtype=vector.dtype, device=vector.device).masked_scatter(mask, vector)


def as_real(tensor: Tensor) -> Tensor:
    """A tensor as real numbers: a complex one with a last axis of real and imaginary parts, sharing its memory."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


_STACK = 3
"""Axes of a stack of matrices."""


def _split(module: nn.Module, tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split a layer's tensor into filters: shape and inner axes."""
    shape = tuple(tensor.shape)
    if len(shape) < 2:
        return (math.prod(shape),), (0,)
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        groups = module.groups
        split = (groups, shape[0] // groups, *shape[1:])
        return split, (1, *range(3, len(split)))
    # Hugging Face's transposed linear layer, recognised by name so that its package is not needed.
    if type(module).__name__ == "Conv1D" and not isinstance(module, nn.Conv1d) and len(shape) == 2:
        return shape, (0,)
    if len(shape) == _STACK and shape[0] > 1 and not isinstance(module, nn.Conv1d | nn.Bilinear):
        # Layers of experts may store (experts, inputs, outputs) instead of (experts, outputs, inputs).
        return shape, (1,) if getattr(module, "is_transposed", False) is True else (2,)
    return shape, tuple(range(1, len(shape)))


def _owned(model: nn.Module) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Every parameter once, with the first layer that holds it; for a parametrised tensor, the layer itself."""
    modules = dict(model.named_modules(remove_duplicate=False))
    for name, tensor in model.named_parameters():
        owner = name.rpartition(".")[0]
        before, parametrised, _ = owner.rpartition("parametrizations")
        yield name, modules[before.rstrip(".") if parametrised else owner], tensor


def is_continuous(tensor: Tensor) -> bool:
    """Whether a tensor holds real or complex numbers, not integers."""
    return tensor.is_floating_point() or tensor.is_complex()


def _chosen(choice: Choice | None, name: str, tensor: Tensor) -> bool:
    if choice is None:
        return tensor.requires_grad
    if callable(choice):
        return bool(choice(name, tensor))
    patterns = [choice] if isinstance(choice, str) else choice
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def moved_filters(
    model: nn.Module, *, parameters: Choice | None = None, one_dim: OneDim = "fixed"
) -> tuple[Filters, ...]:
    """Select the tensors of a network that directions move.

    Args:
        model: Any network.
        parameters: Which ones: patterns such as `"*.lora_*"`, or a function of name and tensor. None selects those that
            are not frozen; a selected tensor is moved even if it is frozen.
        one_dim: Whether tensors with at most one axis are moved too, each as one filter.

    Returns:
        Those tensors, in the order of `named_parameters`.

    Raises:
        InputError: No tensor is left to move, or a selected one has no shape yet.
    """
    one_dim = one_dim_choice(one_dim)
    filters, chosen, seen = [], [], []
    holders = Counter(id(tensor) for _, tensor in model.named_parameters(remove_duplicate=False))
    for name, module, tensor in _owned(model):
        seen.append(name)
        if not _chosen(parameters, name, tensor):
            continue
        chosen.append(name)
        if nn.parameter.is_lazy(tensor):
            raise InputError(f"{name} has no shape yet: call the model on one batch first")
        if is_continuous(tensor) and tensor.numel() and (tensor.ndim > 1 or one_dim == "moved"):
            tied = holders[id(tensor)] > 1
            still = None if tied or not isinstance(module, nn.Embedding | nn.EmbeddingBag) else module.padding_idx
            split, inner = _split(module, tensor)
            if tensor.is_complex():
                split, inner = (*split, 2), (*inner, len(split))
            filters.append(
                Filters(name, as_real(tensor.detach()).shape, split, inner, still, is_complex=tensor.is_complex())
            )
    if not filters:
        raise InputError(_nothing_to_move(model, parameters, seen, chosen))
    return tuple(filters)


def _nothing_to_move(model: nn.Module, parameters: Choice | None, seen: list[str], chosen: list[str]) -> str:
    kind = type(model).__name__
    if not seen:
        return f"{kind} has no parameters: there is nothing to move"
    if chosen:
        return f"{kind}: {', '.join(chosen[:3])} have one axis or none: nothing to move; pass one_dim='moved'"
    if parameters is None:
        return f"{kind}: all {len(seen)} parameters are frozen; select some by parameters=, or all by parameters='*'"
    return f"{kind}: parameters={parameters!r} matches none of {len(seen)} names, such as {', '.join(seen[:3])}"
