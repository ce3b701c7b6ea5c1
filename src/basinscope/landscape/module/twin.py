"""Working copy of a network, whose moved tensors are overwritten at every point; the original is never modified."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from basinscope.errors import InputError
from basinscope.landscape.directions import Center, Direction, Stored
from basinscope.landscape.filters import Filters
from basinscope.landscape.module.loss import first_line
from basinscope.landscape.protocol import Step

CACHED_BYTES = 2**25
"""Directions up to this size are generated once and cached while the objective is held."""


class Twin:
    """Working copy of a network, its moved tensors, and the center.

    Args:
        model: The network; never modified.
        filters: The moved tensors.

    Raises:
        InputError: The network cannot be copied.
    """

    def __init__(self, model: nn.Module, filters: tuple[Filters, ...]) -> None:
        self.model, self.filters = model, filters
        # Tensors created in inference mode could later be neither overwritten nor differentiated.
        with torch.inference_mode(False):
            self.copy = _copied(model)
        named = dict(self.copy.named_parameters())
        self.targets: tuple[Tensor, ...] = tuple(named[f.name] for f in filters)
        self.cached: list[tuple[Direction, list[Tensor]]] = []
        """Directions cached while the objective is held, the most recent last."""
        self.follow()

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
        own = dict((*self.model.named_parameters(), *self.model.named_buffers()))
        ours = dict((*self.copy.named_parameters(), *self.copy.named_buffers()))
        described = ([(n, t.shape, t.dtype, t.device) for n, t in tensors.items()] for tensors in (own, ours))
        kinds = ([(n, type(m)) for n, m in model.named_modules()] for model in (self.model, self.copy))
        for parts, (new, old) in (("tensors", described), ("layers", kinds)):
            if new != old:
                raise InputError(f"{type(self.model).__name__} has other {parts} than before: create a new Objective")
        for name, tensor in ours.items():
            tensor.copy_(own[name])
        for module, theirs in zip(self.copy.modules(), self.model.modules(), strict=True):
            module.training = theirs.training
        self.center = Center(self.filters, tuple(own[f.name] for f in self.filters))
        self.exact = [self.center.exact(index) for index in range(len(self.filters))]
        self.cached = []

    @torch.no_grad()
    def move_to(self, steps: Sequence[Step], *, cache: bool = False) -> None:
        """Set the moved tensors to a point, computed from the network's own weights to avoid accumulated rounding.

        Args:
            steps: Directions and distances; empty for the center.
            cache: Cache generated directions for later points.
        """
        cached = [self.blocks_of(direction) if cache else None for direction, _ in steps]
        for index, (own, target) in enumerate(zip(self.exact, self.targets, strict=True)):
            point = own
            for (direction, distance), blocks in zip(steps, cached, strict=True):
                block = direction.block(index).to(point) if blocks is None else blocks[index]
                point = torch.add(point, block, alpha=distance)
            target.copy_(point)

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
            with torch.enable_grad():
                yield
        finally:
            clear(self.targets)
            self.copy.requires_grad_(False)


def _copied(model: nn.Module) -> nn.Module:
    try:
        twin = copy.deepcopy(model)
    except Exception as error:  # copying a custom class can fail with any exception
        raise InputError(f"{type(model).__name__} cannot be copied: {first_line(error)}") from error
    clear(twin.parameters())
    return twin.requires_grad_(False)


def clear(tensors: Iterable[Tensor]) -> None:
    """Set gradients to None."""
    for tensor in tensors:
        tensor.grad = None


def version_of(model: nn.Module) -> tuple[Any, ...]:
    """Cheap indicator of changes: addresses and version counters of the tensors, types and modes of the modules."""
    tensors = (*model.parameters(), *model.buffers())
    # Tensors created in inference mode have no version counter, but cannot be trained either.
    versions = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    return versions, tuple((type(module), module.training) for module in model.modules())


def bits_of(model: nn.Module) -> tuple[int, ...]:
    """Sum of the bits of each tensor; detects writes without a version increment, such as through `.data`."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = []
    for tensor in (*model.parameters(), *model.buffers()):
        plain = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
        kind = kinds.get(plain.element_size())
        sums.append(plain.view(kind).sum() if kind is not None and plain.layout == torch.strided else 0)
    return tuple(map(int, sums))
