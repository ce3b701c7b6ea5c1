"""Which tensors a loss depends on, read from its graph without differentiating it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

_REENTRANT = "CheckpointFunctionBackward"
"""Node of `torch.utils.checkpoint` with `use_reentrant=True`, which hides the graph inside it."""


@dataclass
class Graph:
    """What the graphs of losses contain."""

    leaves: set[int] = field(default_factory=set)
    """Identities of the tensors that losses depend on."""
    reentrant: bool = False
    """Whether a reentrant checkpoint hides a part of the graph."""

    def add(self, loss: Tensor) -> None:
        """Walk the graph of a loss."""
        waiting: list[Any] = [loss.grad_fn] if loss.grad_fn is not None else []
        if loss.grad_fn is None and loss.requires_grad:
            self.leaves.add(id(loss))
        seen = set(waiting)
        while waiting:
            node = waiting.pop()
            if hasattr(node, "variable"):
                self.leaves.add(id(node.variable))
            self.reentrant = self.reentrant or node.name() == _REENTRANT
            for following, _ in node.next_functions:
                if following is not None and following not in seen:
                    seen.add(following)
                    waiting.append(following)


@contextmanager
def modules_called(model: nn.Module, copied: nn.Module) -> Iterator[Mapping[str, list[str]]]:
    """Record which layers of a network and of its copy run while the context is open, by dotted name."""
    called: dict[str, list[str]] = {"own": [], "copy": []}
    own = {id(module): name for name, module in model.named_modules()}
    ours = {id(module): name for name, module in copied.named_modules()}

    def note(module: nn.Module, _: Any) -> None:
        if id(module) in own:
            called["own"].append(own[id(module)])
        elif id(module) in ours:
            called["copy"].append(ours[id(module)])

    handle = register_module_forward_pre_hook(note)
    try:
        yield called
    finally:
        handle.remove()
