"""Makes the working copy of a network: plain layers with effective weights, without wrappers or the user's hooks.

| in the network                                        | in the copy                                               |
|-------------------------------------------------------|-----------------------------------------------------------|
| `torch.compile`, `DataParallel`, `DistributedDataParallel` | the wrapped network itself, under the same names     |
| `model.forward = torch.compile(model.forward)`        | the plain `forward`                                       |
| parametrisations, `weight_norm`, `spectral_norm`, pruning | the effective weight, as an ordinary parameter        |
| several parameters in the same memory                 | one parameter                                             |
| forward hooks                                         | see `hooks`                                               |
| backward hooks                                        | removed: they are not part of the loss                    |
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from basinscope.errors import InputError
from basinscope.landscape.module.instance import Instance, filled_instance
from basinscope.landscape.module.loss import first_line
from basinscope.landscape.module.wrappers import Unwrapped, wrappers_of

_DEPTH = 5
"""Nesting of containers and objects in which kept tensors are looked for."""
_COMPUTED_FROM = ("g", "v", "orig", "mask", "u")
"""Suffixes of the tensors from which hooks of torch compute a weight."""
_BACKWARD_HOOKS = ("_backward_hooks", "_backward_pre_hooks")


def plain_copy(model: nn.Module, instance: Instance | None = None) -> nn.Module:
    """Copy a network; see the table above.

    Args:
        model: The network.
        instance: A second instance of it, which becomes the copy; see `instance`.

    Raises:
        InputError: A tensor has no data, tensors overlap in memory, the network cannot be copied, or the instance is
            not one of the same network.
    """
    copied = duplicate(model, instance)
    with torch.inference_mode(False):
        for module in copied.modules():
            for name in _BACKWARD_HOOKS:
                getattr(module, name, {}).clear()
        make_effective(copied)
        _tie(model, copied)
    for tensor in copied.parameters():
        tensor.grad = None
        if tensor.is_conj():
            tensor.data = tensor.data.resolve_conj()
    return copied


def duplicate(model: nn.Module, instance: Instance | None = None) -> nn.Module:
    """Copy a network without wrappers and compiled functions, with its parametrisations and hooks.

    Args:
        model: The network.
        instance: See `plain_copy`.

    Raises:
        InputError: See `plain_copy`.
    """
    refuse_meta(model)
    _refuse_scripted(model)
    memo: dict[int, Any] = {}
    for module in model.modules():
        _detach_results(vars(module), memo)
    # Tensors created in inference mode could later be neither overwritten nor differentiated.
    with torch.inference_mode(False):
        if instance is not None:
            if isinstance(instance, nn.Module) and is_parametrised(model):
                raise InputError(
                    f"{type(model).__name__} has parametrised or pruned weights: pass instance= a function that makes "
                    "another instance, not the instance itself"
                )
            copied = filled_instance(model, instance, memo)
        else:
            try:
                for wrapper, attribute in wrappers_of(model):
                    if id(wrapper) not in memo:
                        inner = wrapper.get_submodule(attribute)
                        memo[id(wrapper)] = Unwrapped(attribute, copy.deepcopy(inner, memo))
                copied = copy.deepcopy(model, memo)
            except Exception as error:  # copying a custom class can fail with any exception
                raise InputError(
                    f"{type(model).__name__} cannot be copied: {first_line(error)}; pass instance=make_model, a "
                    "function that makes another instance of it"
                ) from error
        _restore_attributes(model, memo)
        for own in model.modules():
            _restore_forward(own, memo.get(id(own)))
    return copied


def _restore_attributes(model: nn.Module, memo: dict[int, Any]) -> None:
    """Give copied parameters the attributes that `nn.Parameter` loses in a deep copy, such as scales of subclasses."""
    for own in model.parameters():
        copied = memo.get(id(own))
        if copied is None or copied is own:
            continue
        copied.requires_grad_(own.requires_grad)
        for name, value in vars(own).items():
            try:
                vars(copied)[name] = copy.deepcopy(value, memo)
            except Exception:  # copying a custom class can fail with any exception
                vars(copied)[name] = value


def _detach_results(value: Any, memo: dict[int, Any], depth: int = 0) -> None:
    """Enter copies of tensors that are results of computations, such as kept activations; they cannot be copied."""
    if isinstance(value, Tensor):
        if not value.is_leaf:
            memo[id(value)] = value.detach().clone()
    elif depth < _DEPTH:
        if isinstance(value, Mapping):
            parts = list(value.values())
        elif isinstance(value, list | tuple | set):
            parts = list(value)
        elif hasattr(value, "__self__"):
            parts = [value.__self__]
        else:
            parts = [] if isinstance(value, nn.Module | type) else list(getattr(value, "__dict__", {}).values())
        for part in parts:
            _detach_results(part, memo, depth + 1)


def widen(model: nn.Module) -> frozenset[torch.dtype]:
    """Convert parameters and buffers of half precision to single precision; return the precisions converted."""
    found = set()
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dtype in (torch.bfloat16, torch.float16):
            found.add(tensor.dtype)
            tensor.data = tensor.data.float()
        elif tensor.dtype == torch.complex32:
            found.add(torch.float16)
            tensor.data = tensor.data.to(torch.complex64)
    return frozenset(found)


def refuse_meta(model: nn.Module) -> None:
    """Refuse tensors without data.

    Raises:
        InputError: There is one; the message names it.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise InputError(f"{name} is on the meta device, which holds no data: load the network's weights first")


def _restore_forward(own: nn.Module, copied: Any) -> None:
    """Replace a compiled `forward` of the network's by the plain one: the compiled one would use its weights."""
    compiled = vars(own).get("forward")
    plain = getattr(compiled, "_torchdynamo_orig_callable", None)
    if plain is None or copied is None:
        return
    # Methods of torch's own layers are compiled inside another function.
    inner = [cell.cell_contents for cell in getattr(plain, "__closure__", None) or ()]
    for method in (plain, *inner):
        if getattr(method, "__func__", None) is type(own).forward and method.__self__ is own:
            vars(copied).pop("forward", None)


def _refuse_scripted(model: nn.Module) -> None:
    """Refuse TorchScript, which copies weights as results of a computation, and has no ordinary buffers and hooks.

    Raises:
        InputError: There is such a layer; the message names it.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise InputError(
                f"{name or 'the model'} is a TorchScript module, in which weights cannot be moved: use the nn.Module "
                "that it was made from"
            )


def is_parametrised(model: nn.Module) -> bool:
    """Whether some weights are computed from other tensors at each call."""
    return any(parametrize.is_parametrized(module) or _computing_hooks(module) for module in model.modules())


def sources_of(model: nn.Module) -> dict[str, set[str]]:
    """Names of the tensors that each effective weight is computed from; none if no layer is parametrised."""
    found: dict[str, set[str]] = {}
    tensors = {name: t for name, t in model.state_dict().items() if isinstance(t, Tensor) and t.is_floating_point()}
    for prefix, module in model.named_modules():
        before = f"{prefix}." if prefix else ""
        if parametrize.is_parametrized(module):
            for name in module.parametrizations:  # pyright: ignore[reportGeneralTypeIssues]
                start = f"{before}parametrizations.{name}."
                found[before + name] = {other for other in tensors if other.startswith(start)}
        for _, name in _computing_hooks(module):
            parts = {f"{before}{name}_{part}" for part in _COMPUTED_FROM}
            found[before + name] = parts & tensors.keys()
    return found


def make_effective(model: nn.Module) -> None:
    """Replace tensors computed by parametrisations, `weight_norm`, `spectral_norm` or pruning by their values.

    A value requires a gradient if one of the tensors does that it was computed from.
    """
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            parametrised: Any = module.parametrizations
            values: dict[str, tuple[Tensor, bool]] = {}
            for name in list(parametrised):
                wanted = any(part.requires_grad for part in parametrised[name].parameters())
                with torch.no_grad():
                    values[name] = (getattr(module, name), wanted)
            # Not `remove_parametrizations`, which would modify the class that the copy shares with the network.
            del module._modules["parametrizations"]
            module.__class__ = type(module).__bases__[0]
            for name, (value, wanted) in values.items():
                _own(module, name, value, wanted)
        for key, name in _computing_hooks(module):
            hook = module._forward_pre_hooks[key]
            with torch.no_grad():
                hook(module, ())
                value = getattr(module, name)
            del module._forward_pre_hooks[key]
            parts = [module._parameters.pop(f"{name}_{part}", None) for part in ("g", "v", "orig")]
            for part in ("mask", "u", "v"):
                module._buffers.pop(f"{name}_{part}", None)
            _own(module, name, value, any(part is not None and part.requires_grad for part in parts))


def pruned_masks(model: nn.Module) -> dict[str, Tensor]:
    """Masks of the tensors that `torch.nn.utils.prune` has pruned, by the name of the effective tensor.

    Raises:
        InputError: A pruned tensor is tied to another layer's: the effective ones would move apart, and count twice.
    """
    masks: dict[str, Tensor] = {}
    holders = Counter(id(tensor) for module in model.modules() for tensor in module._parameters.values())
    for prefix, module in model.named_modules():
        for key, name in _computing_hooks(module):
            mask = module._buffers.get(f"{name}_mask")
            if isinstance(module._forward_pre_hooks[key], prune.BasePruningMethod) and mask is not None:
                label = f"{prefix}.{name}" if prefix else name
                if holders[id(module._parameters.get(f"{name}_orig"))] > 1:
                    raise InputError(
                        f"{label} is pruned and tied to another layer's: make the pruning permanent by "
                        "torch.nn.utils.prune.remove, and pass masks='zeros'"
                    )
                masks[label] = mask
    return masks


def _own(module: nn.Module, name: str, value: Tensor, wanted: bool) -> None:
    """Register a tensor as a parameter in place of whatever has its name."""
    for place in (vars(module), module._parameters, module._buffers):
        place.pop(name, None)
    module.register_parameter(name, nn.Parameter(value.detach().clone(), requires_grad=wanted))


def _computing_hooks(module: nn.Module) -> list[tuple[int, str]]:
    """Hooks of torch that compute a tensor before each call, with its name."""
    kinds = {"WeightNorm": "name", "SpectralNorm": "name"}
    found = []
    for key, hook in module._forward_pre_hooks.items():
        kind = type(hook)
        if not kind.__module__.startswith("torch.nn.utils"):
            continue
        name = getattr(hook, kinds.get(kind.__name__, "_tensor_name"), None)
        if isinstance(name, str):
            found.append((key, name))
    return found


def _tie(model: nn.Module, copied: nn.Module) -> None:
    """Make one parameter of those that occupy the same memory in the network; copying separates them.

    Raises:
        InputError: Parameters overlap in memory without being the same.
    """
    copies = dict(copied.named_modules(remove_duplicate=False))
    known: dict[Any, tuple[str, nn.Parameter]] = {}
    spans: dict[Any, list[tuple[int, int, str]]] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, own in module._parameters.items():
            tensor = copies[prefix]._parameters.get(name) if prefix in copies else None
            if own is None or tensor is None or nn.parameter.is_lazy(own):
                continue
            if not own.numel() or own.layout != torch.strided:
                continue
            label = f"{prefix}.{name}" if prefix else name
            storage = (own.device, own.untyped_storage().data_ptr())
            form = (own.storage_offset(), tuple(own.shape), own.stride(), own.dtype)
            first, one = known.setdefault((storage, form), (label, tensor))
            copies[prefix]._parameters[name] = one
            if first == label:
                size, begin = own.element_size(), int(own.storage_offset())
                extent = 1 + sum((int(n) - 1) * int(s) for n, s in zip(own.shape, own.stride(), strict=True))
                spans.setdefault(storage, []).append((begin * size, (begin + extent) * size, label))
    for parts in spans.values():
        parts.sort()
        for (_, end, one), (begin, _, other) in pairwise(parts):
            if begin < end:
                raise InputError(f"{one} and {other} overlap in memory: store them apart, or make them one parameter")
