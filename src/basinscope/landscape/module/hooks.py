"""Forward hooks in the working copy: those that change what the network computes keep running, the others do not.

A deep copy shares a hook's function with the network, and with it the lists and dictionaries that it writes to. So
hooks run isolated during the first pass, with copies of these containers; afterwards only those remain that returned
something or modified a tensor in place.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import CellType, FunctionType
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from basinscope.errors import InputError

_log = logging.getLogger(__name__)
_KINDS = ("_forward_pre_hooks", "_forward_hooks")
_CONTAINERS = (list, dict, set, deque)
"""Objects to which hooks write."""


class Watched:
    """A hook that runs isolated, and notes whether it changes what the network computes.

    Args:
        hook: The user's hook.
    """

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook, self.copies = _isolated(hook)
        """The isolated hook, and pairs of a user's container or object and the copy to which it writes."""
        self.changes = False
        self.called = False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the hook."""
        tensors = [part for part in pytree.tree_leaves((args[1:], kwargs)) if isinstance(part, Tensor)]
        before = [None if tensor.is_inference() else tensor._version for tensor in tensors]
        found = self.hook(*args, **kwargs)
        after = [None if tensor.is_inference() else tensor._version for tensor in tensors]
        self.called = True
        self.changes = self.changes or found is not None or before != after
        return found


def watch_hooks(model: nn.Module) -> None:
    """Isolate the forward hooks of a working copy."""
    for _, hooks, key in _hooks(model):
        hooks[key] = Watched(hooks[key])


def refuse_fed(model: nn.Module, functions: Sequence[tuple[str, Callable[..., Any]]]) -> None:
    """Refuse loss functions and metrics that read what a forward hook has collected in the first pass.

    Args:
        model: The working copy, whose hooks are isolated.
        functions: The loss function and the metrics, with their names in messages.

    Raises:
        InputError: One uses a container or object to which a hook has written.
    """
    written = {id(part): name for name, hooks, key in _hooks(model) for part in _written(hooks[key])}
    for what, function in functions if written else ():
        for part in _used(function):
            if id(part) in written:
                layer = written[id(part)] or type(model).__name__
                raise InputError(
                    f"{what} reads what a forward hook of {layer} collects, but hooks do not run in the copy that is "
                    "measured: compute it in the function, from the model passed to it"
                )


def _written(hook: Any) -> list[Any]:
    """The user's containers and objects, to whose copies a hook has written."""
    copies = hook.copies if isinstance(hook, Watched) else []
    return [original for original, twin in copies if _contents(original) != _contents(twin)]


def _contents(value: Any) -> Any:
    """Identities of what a container or an object holds, containers of an object included."""
    if isinstance(value, dict):
        return {key: id(part) for key, part in value.items()}
    if isinstance(value, _CONTAINERS):
        return [id(part) for part in value]
    parts = (_attributes(value) or {}).items()
    return {name: _contents(part) if isinstance(part, _CONTAINERS) else id(part) for name, part in parts}


def _used(function: Any) -> list[Any]:
    """Values that a function uses from its closure, its module or its own object."""
    if not isinstance(function, FunctionType):
        inner = getattr(function, "func", None)
        return [getattr(function, "__self__", None), *([] if inner is None else _used(inner))]
    outer = [function.__globals__[name] for name in function.__code__.co_names if name in function.__globals__]
    return [*outer, *(cell.cell_contents for cell in function.__closure__ or () if _filled(cell))]


def drop_idle_hooks(model: nn.Module) -> None:
    """Remove hooks that were called and change nothing."""
    idle = [(name, hooks, key) for name, hooks, key in _hooks(model) if _is_idle(hooks[key])]
    for _, hooks, key in idle:
        del hooks[key]
    if idle:
        names = ", ".join(dict.fromkeys(name or type(model).__name__ for name, _, _ in idle))
        _log.info("forward hooks do not run in measurements, because they do not change the outputs: %s", names)


def _is_idle(hook: Any) -> bool:
    return isinstance(hook, Watched) and hook.called and not hook.changes


def _hooks(model: nn.Module) -> Iterator[tuple[str, Any, int]]:
    """Every forward hook: name of its module, dictionary of hooks, key."""
    for name, module in model.named_modules():
        for kind in _KINDS:
            hooks = getattr(module, kind)
            for key in list(hooks):
                yield name, hooks, key


def _isolated(hook: Callable[..., Any]) -> tuple[Callable[..., Any], list[tuple[Any, Any]]]:
    """The hook with copies of what it may write to: containers and objects of its closure, containers of its module.

    Bound methods and callable objects need no isolation: they were copied along with the network.

    Returns:
        The hook, and pairs of a user's container or object and its copy.
    """
    if not isinstance(hook, FunctionType):
        return hook, []
    used = {name: hook.__globals__[name] for name in hook.__code__.co_names if name in hook.__globals__}
    own = {name: _copied(value) for name, value in used.items() if isinstance(value, _CONTAINERS)}
    closure = hook.__closure__ or ()
    cells = tuple(CellType(_copied(cell.cell_contents)) if _filled(cell) else cell for cell in closure)
    isolated = FunctionType(
        hook.__code__, {**hook.__globals__, **own} if own else hook.__globals__, hook.__name__, hook.__defaults__, cells
    )
    isolated.__kwdefaults__ = hook.__kwdefaults__
    pairs = [(used[name], twin) for name, twin in own.items()]
    inner = ((a.cell_contents, b.cell_contents) for a, b in zip(closure, cells, strict=True) if _filled(a))
    return isolated, [*pairs, *(pair for pair in inner if pair[0] is not pair[1])]


def _filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # an empty cell
        return False


def _copied(value: Any) -> Any:
    """A shallow copy of a container, or of an object with its containers; anything else itself."""
    if isinstance(value, _CONTAINERS):
        return copy.copy(value)
    if isinstance(value, nn.Module | Tensor | type) or callable(value) or not isinstance(_attributes(value), dict):
        return value
    try:
        twin = copy.copy(value)
        for name, part in _attributes(twin).items():
            if isinstance(part, _CONTAINERS):
                setattr(twin, name, copy.copy(part))
    except Exception:  # copying a custom class can fail with any exception
        return value
    return twin


def _attributes(value: Any) -> Any:
    """The attributes of an object; None if it has none."""
    return getattr(value, "__dict__", None)
