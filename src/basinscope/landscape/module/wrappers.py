"""Wrappers of networks, such as `torch.compile` and `DataParallel`, and what stands for them in a working copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

_WRAPPED = {"OptimizedModule": "_orig_mod", "DistributedDataParallel": "module", "DataParallel": "module"}
"""Attribute that holds the network, by type of wrapper."""


class Unwrapped(nn.Module):
    """A wrapped network without the function of its wrapper, so that names and attributes stay the same.

    Args:
        attribute: Attribute under which the wrapper holds the network.
        inner: The network.
    """

    def __init__(self, attribute: str, inner: nn.Module) -> None:
        super().__init__()
        self._attribute = attribute
        self._modules[attribute] = inner  # `add_module` would look the attribute up in the network
        self.training = inner.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the network."""
        return self._modules[self._attribute](*args, **kwargs)  # pyright: ignore[reportOptionalCall]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._modules[self.__dict__["_attribute"]], name)


def attribute_of(module: nn.Module) -> str | None:
    """Attribute under which a wrapper holds its network; None for other modules."""
    attribute = _WRAPPED.get(type(module).__name__)
    return attribute if attribute and isinstance(module._modules.get(attribute), nn.Module) else None


def wrappers_of(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Wrappers inside a network, innermost first, with the attribute that holds the wrapped network."""
    for module in reversed(list(model.modules())):
        attribute = attribute_of(module)
        if attribute is not None:
            yield module, attribute
