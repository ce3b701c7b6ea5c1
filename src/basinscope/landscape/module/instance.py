"""A second instance of a network that cannot be copied, which becomes its working copy.

| of the instance                                            | becomes                                            |
|------------------------------------------------------------|----------------------------------------------------|
| parameters and buffers                                     | the network's, in memory of their own              |
| modes of the layers, frozen parameters, forward hooks      | the network's                                      |
| other attributes that can be copied                        | the network's                                      |
| attributes that cannot, such as locks, generators, handles | the instance's own                                 |
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from basinscope.errors import InputError, kind_of
from basinscope.landscape.module.loss import first_line
from basinscope.landscape.module.wrappers import Unwrapped, attribute_of
from basinscope.landscape.random_state import undisturbed

Instance = nn.Module | Callable[[], nn.Module]
"""Another instance of a network, or a function that makes one."""
_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)
_OF_EVERY_MODULE = set(vars(nn.Module()))
_NAMED = 3
"""Mismatches named in a message."""
_holders: WeakKeyDictionary[nn.Module, object] = WeakKeyDictionary()
"""The latest holder of each instance."""


def filled_instance(model: nn.Module, instance: Instance, memo: dict[int, Any]) -> nn.Module:
    """Turn a second instance of a network into a copy of it.

    Args:
        model: The network; not modified.
        instance: The instance, which is modified, or a function that makes one.
        memo: Copies by identity of the original, as in `copy.deepcopy`; the network's layers and tensors are added.

    Raises:
        InputError: The instance is the network itself, shares layers or memory with it, or differs from it in names,
            shapes or classes.
    """
    made = _made(model, instance)
    copied = _like(model, made)
    modules = _module_pairs(model, copied)
    tensors = list(_tensor_pairs(modules))
    _refuse_shared_memory(tensors)
    for _, own, ours in tensors:
        ours.data = own.detach().clone()
        if isinstance(ours, nn.Parameter):
            ours.requires_grad_(own.requires_grad)
        memo[id(own)] = ours
    for _, own, ours in modules:
        memo[id(own)] = ours
    for name, own, ours in modules:
        ours.training = own.training
        if attribute_of(own) is None:
            _take_attributes(name, own, ours, memo)
    _holders[_core(copied)] = object()
    return copied


def holder_of(copied: nn.Module) -> object:
    """Mark of the latest use of an instance; None for a copy that was made without one."""
    return _holders.get(_core(copied))


def refuse_taken(copied: nn.Module, holder: object) -> None:
    """Refuse an instance that has been filled again since.

    Raises:
        InputError: It has another holder.
    """
    if holder is not None and holder_of(copied) is not holder:
        raise InputError(
            f"instance= of {type(copied).__name__} is in use by another Objective: pass a function that makes a new one"
        )


def _core(copied: nn.Module) -> nn.Module:
    """The instance inside stand-ins of wrappers."""
    while isinstance(copied, Unwrapped):
        inner = copied._modules[copied._attribute]
        assert inner is not None
        copied = inner
    return copied


def _made(model: nn.Module, instance: Instance) -> nn.Module:
    """The instance, made by the user's function if it is one."""
    what = "instance"
    if not isinstance(instance, nn.Module):
        if not callable(instance):
            raise InputError(
                f"instance is {kind_of(instance)}: pass another {type(model).__name__}, or a function that makes one"
            )
        try:
            with undisturbed():
                instance, what = instance(), "instance()"
        except Exception as error:  # the user's function can fail in any way
            raise InputError(f"instance() fails: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(instance, nn.Module):
        raise InputError(f"{what} gives {kind_of(instance)}: it must make another {type(model).__name__}")
    if instance is model or not {id(m) for m in model.modules()}.isdisjoint(id(m) for m in instance.modules()):
        raise InputError(
            f"{what} is the network itself or shares layers with it: make a second one, from the beginning"
        )
    return instance


def _like(model: nn.Module, made: nn.Module) -> nn.Module:
    """The instance under the names of a wrapped network, whether it is wrapped or not."""
    attribute = attribute_of(model)
    if attribute is None:
        return made
    inner = made.get_submodule(attribute) if attribute_of(made) == attribute else made
    return Unwrapped(attribute, _like(model.get_submodule(attribute), inner))


def _module_pairs(model: nn.Module, copied: nn.Module) -> list[tuple[str, nn.Module, nn.Module]]:
    """Layers of the network and of the instance, by dotted name."""
    own, ours = (dict(net.named_modules(remove_duplicate=False)) for net in (model, copied))
    wrong = [f"layer {name} is missing" for name in own if name not in ours]
    wrong += [f"layer {name} is not in the network" for name in ours if name not in own]
    pairs = [(name, module, ours[name]) for name, module in own.items() if name in ours]
    wrong += [
        f"layer {name or 'itself'} is {kind_of(other)}, not {kind_of(module)}"
        for name, module, other in pairs
        if attribute_of(module) is None and _class(module) != _class(other)
    ]
    _refuse(model, wrong)
    _refuse_tied(model, [(name, id(module), id(other)) for name, module, other in pairs])
    return pairs


def _class(module: nn.Module) -> tuple[str, str]:
    """Name of a layer's class: a parametrised layer, or one defined again in a notebook, has another class object."""
    return type(module).__module__, type(module).__qualname__


def _tensor_pairs(pairs: list[tuple[str, nn.Module, nn.Module]]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Parameters and buffers of the network and of the instance, each pair once, by dotted name."""
    model, wrong, found = pairs[0][1], [], []
    for prefix, module, other in pairs:
        for own, ours in ((module._parameters, other._parameters), (module._buffers, other._buffers)):
            for name in {**own, **ours}:
                one, two = own.get(name), ours.get(name)
                label = f"{prefix}.{name}" if prefix else name
                if one is None and two is None:
                    continue
                if one is None or two is None:
                    wrong.append(f"{label} is {'missing' if two is None else 'not in the network'}")
                elif nn.parameter.is_lazy(one) or nn.parameter.is_lazy(two):
                    wrong.append(f"{label} has no shape yet")
                elif one.shape != two.shape:
                    wrong.append(f"{label}: {tuple(two.shape)}, not {tuple(one.shape)}")
                else:
                    found.append((label, one, two))
    _refuse(model, wrong)
    _refuse_tied(model, [(label, id(one), id(two)) for label, one, two in found])
    yield from {id(two): (label, one, two) for label, one, two in found}.values()


def _refuse(model: nn.Module, wrong: list[str]) -> None:
    """Refuse an instance of another network; the message names the first mismatches."""
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise InputError(f"instance is another network than {type(model).__name__}: {'; '.join(wrong[:_NAMED])}{more}")


def _refuse_tied(model: nn.Module, pairs: list[tuple[str, int, int]]) -> None:
    """Refuse layers or tensors that are one in the instance, but several in the network."""
    known: dict[int, tuple[str, int]] = {}
    for name, own, ours in pairs:
        first, one = known.setdefault(ours, (name, own))
        if one != own:
            _refuse(model, [f"{first} and {name} are the same in it"])


def _refuse_shared_memory(pairs: list[tuple[str, Tensor, Tensor]]) -> None:
    """Refuse tensors of the instance in the memory of the network's."""
    taken = {(own.device, own.untyped_storage().data_ptr()): name for name, own, _ in pairs if own.numel()}
    for name, _, ours in pairs:
        if not ours.numel():
            continue
        if ours.is_inference():
            raise InputError(f"instance: {name} was made in inference mode: make it outside")
        place = (ours.device, ours.untyped_storage().data_ptr())
        if not ours.is_meta and place in taken:
            raise InputError(f"instance: {name} is in the memory of the network's {taken[place]}: give it its own")


def _take_attributes(label: str, own: nn.Module, ours: nn.Module, memo: dict[int, Any]) -> None:
    """Copy hooks and other attributes of a layer; those that cannot be copied stay the instance's own."""
    for name, value in list(vars(own).items()):
        if name in _OF_EVERY_MODULE and name not in _HOOKS:
            continue
        attempt = dict(memo)
        try:
            vars(ours)[name] = copy.deepcopy(value, attempt)
        except Exception as error:  # copying a custom class can fail with any exception
            if name in _HOOKS or name not in vars(ours):
                what = "a hook" if name in _HOOKS else name
                where = label or type(own).__name__
                raise InputError(
                    f"{what} of {where} cannot be copied: {first_line(error)}; "
                    + ("remove it while measuring" if name in _HOOKS else f"let instance= set {name}, too")
                ) from error
        else:
            memo.update(attempt)
