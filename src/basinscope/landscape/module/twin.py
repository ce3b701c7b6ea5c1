"""A copy of a network whose moved tensors are overwritten at every point; the network itself is never touched."""

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
"""Directions are generated once and cached while the objective is held, if they take no more than this."""


class Twin:
    """The copy, its moved tensors, and the center that they start from.

    Args:
        model: The network; only read.
        filters: The tensors that directions move.

    Raises:
        InputError: The network cannot be copied.
    """

    def __init__(self, model: nn.Module, filters: tuple[Filters, ...]) -> None:
        self.model, self.filters = model, filters
        # Tensors made in inference mode could be neither moved nor differentiated by later.
        with torch.inference_mode(False):
            self.copy = _copied(model)
        named = dict(self.copy.named_parameters())
        self.targets: tuple[Tensor, ...] = tuple(named[f.name] for f in filters)
        self.cached: list[tuple[Direction, list[Tensor]]] = []
        """Directions generated while the objective is held, the latest last."""
        self.follow()

    @property
    def device(self) -> torch.device:
        """Where the network lies; the first moved tensor's device if it is spread over several."""
        return self.center.tensors[0].device

    @torch.no_grad()
    def follow(self) -> None:
        """Bring the copy to the state of the network.

        Raises:
            InputError: The network has other tensors or layers than it had.
        """
        own = dict((*self.model.named_parameters(), *self.model.named_buffers()))
        ours = dict((*self.copy.named_parameters(), *self.copy.named_buffers()))
        described = ([(n, t.shape, t.dtype, t.device) for n, t in tensors.items()] for tensors in (own, ours))
        kinds = ([(n, type(m)) for n, m in model.named_modules()] for model in (self.model, self.copy))
        for parts, (new, old) in (("tensors", described), ("layers", kinds)):
            if new != old:
                raise InputError(f"{type(self.model).__name__} has other {parts} than before: make a new Objective")
        for name, tensor in ours.items():
            tensor.copy_(own[name])
        for module, theirs in zip(self.copy.modules(), self.model.modules(), strict=True):
            module.training = theirs.training
        self.center = Center(self.filters, tuple(own[f.name] for f in self.filters))
        self.exact = [self.center.exact(place) for place in range(len(self.filters))]
        self.cached = []

    @torch.no_grad()
    def move_to(self, steps: Sequence[Step], *, cache: bool = False) -> None:
        """Overwrite the moved tensors; always from the network's own, so that no rounding adds up.

        Args:
            steps: Directions and distances; none leads to the center.
            cache: Whether generated directions are cached for the next points.
        """
        cached = [self.blocks_of(direction) if cache else None for direction, _ in steps]
        for place, (own, target) in enumerate(zip(self.exact, self.targets, strict=True)):
            point = own
            for (direction, distance), blocks in zip(steps, cached, strict=True):
                block = direction.block(place).to(point) if blocks is None else blocks[place]
                point = torch.add(point, block, alpha=distance)
            target.copy_(point)

    def blocks_of(self, direction: Direction) -> list[Tensor] | None:
        """All entries of a direction if they are small enough to be cached; generated if they are not there yet."""
        if isinstance(direction, Stored):
            return None
        for known, blocks in self.cached:
            if known is direction:
                return blocks
        size = sum(t.numel() * max(t.element_size(), 4) for t in self.targets)
        if 2 * size > CACHED_BYTES:
            return None
        made = [direction.block(place).to(own) for place, own in enumerate(self.exact)]
        # At most two are in use at a time.
        self.cached = [*self.cached[-1:], (direction, made)]
        return made

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
    except Exception as error:  # every way in which a user's class can refuse
        raise InputError(f"{type(model).__name__} cannot be copied: {first_line(error)}") from error
    clear(twin.parameters())
    return twin.requires_grad_(False)


def clear(tensors: Iterable[Tensor]) -> None:
    """Drop gradients."""
    for tensor in tensors:
        tensor.grad = None


def version_of(model: nn.Module) -> tuple[Any, ...]:
    """Addresses of the tensors, how often each was written, and modes: a cheap sign that a network has changed."""
    tensors = (*model.parameters(), *model.buffers())
    # Tensors made in inference mode do not count how often they are written, but cannot be trained either.
    places = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    return places, tuple((type(module), module.training) for module in model.modules())


def bits_of(model: nn.Module) -> tuple[int, ...]:
    """Sum of the bits of each tensor, which shows writes that torch does not count, such as through `.data`."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = []
    for tensor in (*model.parameters(), *model.buffers()):
        plain = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
        kind = kinds.get(plain.element_size())
        sums.append(plain.view(kind).sum() if kind is not None and plain.layout == torch.strided else 0)
    return tuple(map(int, sums))
