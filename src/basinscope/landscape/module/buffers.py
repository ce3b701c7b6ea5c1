"""Restores the buffers of the working copy, so that every batch meets them as they are in the network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class _Buffer:
    label: str
    """Dotted name."""
    module: nn.Module
    name: str
    tensor: Tensor | None
    """The copy's own tensor."""
    saved: Tensor | None
    """The network's tensor, which is never modified."""
    version: int = 0
    always: bool = False
    """Whether it is written without a change of version, so that it must be restored each time."""


class Buffers:
    """Buffers of a working copy.

    Args:
        model: The working copy.
        saved: The network's buffers by name; those that it lacks are cloned from the copy.
    """

    def __init__(self, model: nn.Module, saved: Mapping[str, Tensor]) -> None:
        self._known: list[_Buffer] = []
        self._modules = list(model.modules())
        for prefix, module in model.named_modules():
            for name, tensor in module._buffers.items():
                label = f"{prefix}.{name}" if prefix else name
                value = None if tensor is None else saved.get(label, None)
                if tensor is not None and value is None:
                    value = tensor.detach().clone()
                self._known.append(_Buffer(label, module, name, tensor, value))
        self.written = False
        """Whether a forward pass has written to a buffer."""
        self._names = {(id(known.module), known.name) for known in self._known}
        self._mark()

    @torch.no_grad()
    def restore(self) -> None:
        """Undo what forward passes have written since the last call."""
        written = False
        for known in self._known:
            if known.module._buffers.get(known.name) is not known.tensor:
                known.module._buffers[known.name] = known.tensor
                self.written = True
            if known.tensor is not None and (known.always or _version(known.tensor) != known.version):
                _write(known)
                written = True
        for module in self._modules:
            for name in [name for name in module._buffers if (id(module), name) not in self._names]:
                del module._buffers[name]
        if written:
            self.written = True
            self._mark()

    @torch.no_grad()
    def reload(self) -> None:
        """Write the network's current buffers."""
        for known in self._known:
            known.module._buffers[known.name] = known.tensor
            _write(known)
        self._mark()

    def follow(self, saved: Mapping[str, Tensor]) -> None:
        """Write the current buffers of the network, whose tensors may have been replaced."""
        for known in self._known:
            known.saved = saved.get(known.label, known.saved)
        self.reload()

    def note_hidden_writes(self) -> None:
        """Find buffers that a pass has written without a change of version, such as through `.data`."""
        for known in self._known:
            if known.tensor is not None and known.saved is not None and _version(known.tensor) == known.version:
                known.always = known.always or not _same(known.tensor, known.saved)

    @contextlib.contextmanager
    def replaced(self, values: Mapping[str, Tensor]) -> Iterator[None]:
        """Context in which some buffers have other values, by dotted name."""
        changed = [known for known in self._known if known.tensor is not None and known.label in values]
        before = [known.saved for known in changed]
        for known in changed:
            known.saved = values[known.label]
        self.reload()
        try:
            yield
        finally:
            for known, saved in zip(changed, before, strict=True):
                known.saved = saved
            self.reload()

    def _mark(self) -> None:
        for known in self._known:
            if known.tensor is not None:
                known.version = _version(known.tensor)


def _write(known: _Buffer) -> None:
    tensor, saved = known.tensor, known.saved
    if tensor is None or saved is None:
        return
    if tensor.shape != saved.shape:
        tensor.resize_(saved.shape)
    tensor.copy_(saved)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.isclose(one, other, rtol=0, atol=0, equal_nan=True).all())


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version
