"""State that a network keeps between calls outside its buffers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_OWN = set(vars(nn.Module()))
"""Attributes of every module, such as its mode, hooks and tensors."""


def attributes_of(model: nn.Module) -> Mapping[str, Any]:
    """Marks of the attributes of all layers, by dotted name, that change if an attribute does."""
    return {
        f"{prefix}.{name}" if prefix else name: _mark(value)
        for prefix, module in model.named_modules()
        for name, value in vars(module).items()
        if name not in _OWN
    }


def changed_attributes(model: nn.Module, before: Mapping[str, Any]) -> list[str]:
    """Names of attributes that differ from earlier marks."""
    now = attributes_of(model)
    return [name for name, mark in now.items() if name not in before or before[name] != mark]


def _mark(value: Any) -> Any:
    if isinstance(value, Tensor):
        return id(value), 0 if value.is_inference() else value._version
    if isinstance(value, bool | int | float | str | type(None)):
        return value
    if isinstance(value, list | tuple | dict | set):
        return type(value).__name__, len(value), tuple(map(id, value.values() if isinstance(value, dict) else value))
    return id(value)
