"""Working copy of a network, whose moved tensors are overwritten at every point; the original is never modified."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Direction, Stored
from basinscope.landscape.filters import Choice, Filters, OneDim, as_real, is_continuous, moved_filters
from basinscope.landscape.masks import Masks, masked_filters
from basinscope.landscape.module.buffers import Buffers
from basinscope.landscape.module.copying import (
    duplicate,
    is_parametrised,
    make_effective,
    plain_copy,
    pruned_masks,
    sources_of,
    widen,
)
from basinscope.landscape.module.hooks import watch_hooks
from basinscope.landscape.module.instance import Instance, holder_of, refuse_taken
from basinscope.landscape.names import Names, fitted, names_of
from basinscope.landscape.protocol import Step

Precision = Literal["single", "own"]
_HALF = (torch.bfloat16, torch.float16)
_DISTORTED = 0.2
"""Largest share of a step that rounding may change."""
CACHED_BYTES = 2**25
"""Directions up to this size are generated once and cached while the objective is held."""


class Effective(dict[str, Tensor]):
    """Tensors of a network under the names of the copy's; see `Twin.effective`."""


class Twin:
    """Working copy of a network, its moved tensors, and the center.

    Args:
        model: The network; never modified.
        parameters, one_dim: Which tensors are moved; see `filters.moved_filters`.
        precision: `single` evaluates half-precision networks in single precision, `own` in theirs.
        masks: Entries that rest; see `masks`.
        instance: A second instance of a network that cannot be copied; see `instance`.

    Raises:
        InputError: The network cannot be copied, or nothing can be moved.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        parameters: Choice | None,
        one_dim: OneDim,
        precision: Precision = "single",
        masks: Masks = None,
        instance: Instance | None = None,
    ) -> None:
        self.model, self._parameters = model, parameters
        self._masks: Masks = masks
        self._instance = instance
        self._one_dim: OneDim = one_dim
        self._precision: Precision = precision
        self.widened: frozenset[torch.dtype] = frozenset()
        """Half precisions that the copy evaluates in single precision."""
        self._form = _form_of(model)
        self.cached: list[tuple[Direction, list[Tensor]]] = []
        """Directions cached while the objective is held, the most recent last."""
        self._build()

    def _build(self) -> None:
        """Copy the network."""
        self.copy = plain_copy(self.model, self._instance)
        self._holder = holder_of(self.copy)
        if self._precision == "single":
            self.widened = widen(self.copy)
        self._chosen = moved_filters(self.copy, parameters=self._parameters, one_dim=self._one_dim)
        watch_hooks(self.copy)
        self.trained = frozenset(name for name, tensor in self.copy.named_parameters() if tensor.requires_grad)
        """Parameters that are not frozen."""
        self.copy.requires_grad_(False)
        self._own: dict[str, Tensor] = dict(self.model.named_parameters())
        for name, tensor in self.copy.named_parameters():
            # Effective weights of parametrised layers are no tensors of the network.
            if name not in self._own:
                self._own[name] = tensor.detach().clone()
        self.buffers = Buffers(self.copy, dict(self.model.named_buffers()))
        self._train()
        self._mask()

    def _mask(self) -> None:
        """Exclude the entries that rest at the network's current weights and masks."""
        self.candidates: tuple[Filters, ...] = masked_filters(
            self._chosen, self.copy, self._masks, pruned_masks(self.model)
        )
        """All tensors that were chosen to be moved."""
        self.restrict(())

    @property
    def rests_whole(self) -> bool:
        """Whether masks exclude all entries of some tensor."""
        return len(self.candidates) < len(self._chosen)

    @property
    def masks(self) -> tuple[Tensor, ...]:
        """The user's masks."""
        return tuple(self._masks.values()) if isinstance(self._masks, Mapping) else ()

    @property
    def device(self) -> torch.device:
        """Device of the network, or of its first moved tensor if there are several."""
        return self.center.tensors[0].device

    @torch.no_grad()
    def follow(self) -> None:
        """Update the copy to the current state of the network.

        Raises:
            InputError: The network's tensors or layers have been replaced by others.
        """
        for parts, new, old in zip(("tensors", "layers"), _form_of(self.model), self._form, strict=True):
            if new != old:
                raise InputError(f"{type(self.model).__name__} has other {parts} than before: create a new Objective")
        if is_parametrised(self.model):
            self._build()
            return
        self._own = dict(self.model.named_parameters())
        self.reload()
        self.buffers.follow(dict(self.model.named_buffers()))
        self._train()
        self._mask()

    @torch.no_grad()
    def reload(self) -> None:
        """Write the network's parameters, moved or not."""
        for name, tensor in self.copy.named_parameters():
            tensor.copy_(self._own[name])

    @contextlib.contextmanager
    def holding(self, state: Mapping[str, Tensor]) -> Iterator[None]:
        """Context in which the copy has other parameters and buffers, by name as `effective` returns them."""
        ours = dict(self.copy.named_parameters())
        shapes = {name: buffer.shape for name, buffer in self.copy.named_buffers()}
        buffers = {name: state[name] for name, shape in shapes.items() if name in state and state[name].shape == shape}
        with self.buffers.replaced(buffers):
            try:
                self.move_to([])
                for name, tensor in ours.items():
                    if name in state and state[name].shape == tensor.shape:
                        tensor.copy_(state[name])
                yield
            finally:
                self.reload()

    @contextlib.contextmanager
    def moving_all(self) -> Iterator[None]:
        """Context in which all real and complex parameters are moved, whatever the masks."""
        before, resting = self.candidates, {f.name for f in self.candidates} - {f.name for f in self.filters}
        self.candidates = moved_filters(self.copy, parameters=lambda _, t: is_continuous(t), one_dim="moved")
        self.restrict(())
        try:
            yield
        finally:
            self.move_to([])
            self.candidates = before
            self.restrict(resting)

    def restrict(self, resting: Collection[str]) -> None:
        """Choose the moved tensors: all candidates except those named."""
        named = dict(self.copy.named_parameters())
        # A tensor keeps its random stream whichever others are moved.
        self.filters: tuple[Filters, ...] = tuple(
            replace(f, stream=k if f.stream is None else f.stream) if resting else f
            for k, f in enumerate(self.candidates)
            if f.name not in resting
        )
        self.targets: tuple[Tensor, ...] = tuple(named[f.name] for f in self.filters)
        """The moved tensors of the copy."""
        self.reals = tuple(as_real(target.detach()) if target.is_complex() else target for target in self.targets)
        """The same tensors as real numbers, in the same memory."""
        self.center = Center(self.filters, tuple(self._own[f.name] for f in self.filters))
        self.exact = [self.center.exact(index) for index in range(len(self.filters))]
        self.cached = []

    def _train(self) -> None:
        """Set the layers to the network's modes."""
        theirs = dict(self.model.named_modules())
        for name, module in self.copy.named_modules():
            if name in theirs:
                module.training = theirs[name].training

    def effective(self, state: Mapping[str, Any], *, what: str, required: Collection[str]) -> dict[str, Tensor]:
        """Tensors of another network of the same kind under the names of the copy's.

        Args:
            state: Its state dictionary, whose names may be those of a wrapped network; see `landscape.names`.
            what: Its name in messages.
            required: Names of the copy's tensors that it must determine.

        Raises:
            InputError: It does not fit the network.
        """
        if isinstance(state, Effective):
            return state
        names, network = names_of(self.model), type(self.model).__name__
        sources = sources_of(self.model)
        if sources:
            copied = {**dict(self.copy.named_buffers()), **dict(self.copy.named_parameters())}
            names = Names({**copied, **names.tensors}, sources)
        given = fitted(state, names, required=required, what=what, network=network)
        computed = [name for name, parts in sources.items() if given.keys() >= set(parts)]
        if not computed:
            return given
        other = duplicate(self.model, self._instance)
        with torch.no_grad():
            for name, tensor in (*other.named_parameters(), *other.named_buffers()):
                if name in given:
                    tensor.copy_(given[name])
        make_effective(other)
        values = {**dict(other.named_buffers()), **dict(other.named_parameters())}
        used = {part for name in computed for part in sources[name]}
        rest = {name: tensor for name, tensor in given.items() if name not in used}
        return Effective({**rest, **{name: values[name] for name in computed}})

    @torch.no_grad()
    def move_to(self, steps: Sequence[Step], *, cache: bool = False) -> None:
        """Set the moved tensors to a point, computed from the network's own weights to avoid accumulated rounding.

        Args:
            steps: Directions and distances; empty for the center.
            cache: Cache generated directions for later points.
        """
        self.refuse_taken()
        cached = [self.blocks_of(direction) if cache else None for direction, _ in steps]
        for index, (own, target) in enumerate(zip(self.exact, self.reals, strict=True)):
            point = own
            for (direction, distance), blocks in zip(steps, cached, strict=True):
                block = direction.block(index).to(point) if blocks is None else blocks[index]
                point = torch.add(point, block, alpha=distance)
            target.copy_(point)
            if steps and target.dtype in _HALF:
                self._refuse_lost(own, point, target)

    def refuse_taken(self) -> None:
        """Refuse a copy that another objective has filled since, because both were given the same instance.

        Raises:
            InputError: It has.
        """
        refuse_taken(self.copy, self._holder)

    def _refuse_lost(self, own: Tensor, point: Tensor, target: Tensor) -> None:
        """Refuse a step that rounding to half precision distorts.

        Raises:
            InputError: The step taken differs from the one intended by more than a fifth.
        """
        intended = point - own
        length = float(intended.norm())
        if length and float((target - point).norm()) > _DISTORTED * length:
            raise InputError(
                f"a step of relative length {length / max(float(own.norm()), 1e-30):.2g} is lost in the rounding of "
                f"{str(target.dtype).removeprefix('torch.')} weights: leave out precision='own', or take longer steps"
            )

    def blocks_of(self, direction: Direction) -> list[Tensor] | None:
        """All blocks of a direction, generated if not yet cached; None if they are too large to cache."""
        if isinstance(direction, Stored):
            return None
        for known, blocks in self.cached:
            if known is direction:
                return blocks
        size = sum(t.numel() * max(t.element_size(), 4) for t in self.targets)
        if 2 * size > CACHED_BYTES:
            return None
        blocks = [direction.block(index).to(own) for index, own in enumerate(self.exact)]
        # At most two are in use at a time.
        self.cached = [*self.cached[-1:], (direction, blocks)]
        return blocks

    @contextlib.contextmanager
    def differentiable(self) -> Iterator[None]:
        """Let the moved tensors require gradients while the context is open."""
        for target in self.targets:
            target.requires_grad_(True)
        try:
            with torch.enable_grad(), warnings.catch_warnings():
                # Networks may look at values, such as those of a loss scale.
                warnings.filterwarnings("ignore", "Converting a tensor with requires_grad=True to a scalar")
                yield
        finally:
            clear(self.targets)
            self.copy.requires_grad_(False)


def _form_of(model: nn.Module) -> tuple[list[Any], list[Any]]:
    """Names and shapes of a network's tensors, and types of its layers."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    return [(n, t.shape, t.dtype, t.device) for n, t in tensors], [(n, type(m)) for n, m in model.named_modules()]


def clear(tensors: Iterable[Tensor]) -> None:
    """Set gradients to None."""
    for tensor in tensors:
        tensor.grad = None


def version_of(model: nn.Module, masks: Iterable[Tensor] = ()) -> tuple[Any, ...]:
    """Cheap indicator of changes: addresses and version counters of the tensors, types and modes of the modules."""
    tensors = (*model.parameters(), *model.buffers(), *masks)
    # Tensors created in inference mode have no version counter, but cannot be trained either.
    versions = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    return versions, tuple((type(module), module.training) for module in model.modules())


def bits_of(model: nn.Module, masks: Iterable[Tensor] = ()) -> tuple[int, ...]:
    """Sum of the bits of each tensor; detects writes without a version increment, such as through `.data`."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = []
    for tensor in (*model.parameters(), *model.buffers(), *masks):
        plain = as_real(tensor.detach())
        kind = kinds.get(plain.element_size())
        sums.append(plain.view(kind).sum() if kind is not None and plain.layout == torch.strided else 0)
    return tuple(map(int, sums))
