"""Converts the state of any torch optimizer to plain tensors and one JSON note, and back, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from basinscope.errors import InputError, kind_of


def _encode(value: object, where: str, tensors: dict[str, Tensor]) -> object:
    """Encode a value as JSON; tensors are stored in `tensors` under their paths."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Tensor():
            assert where not in tensors
            # Copy each tensor: two views of one storage cannot be saved together.
            tensors[where] = value.detach().to("cpu", copy=True).contiguous()
            return {"tensor": where}
        case list() | tuple():
            items = [_encode(item, f"{where}.{position}", tensors) for position, item in enumerate(value)]
            return items if isinstance(value, list) else {"tuple": items}
        case dict():
            # JSON keys are strings, but parameters have integer keys.
            return {"dict": [[key, _encode(item, f"{where}.{key}", tensors)] for key, item in value.items()]}
    raise InputError(f"optimizer state {where!r} is {kind_of(value)}: only tensors, numbers and text can be saved")


def _decode(code: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Invert `_encode`; the tensors are copies."""
    match code:
        case {"tensor": where}:
            return tensors[where].clone()
        case {"tuple": items}:
            return tuple(_decode(item, tensors) for item in items)
        case {"dict": pairs}:
            return {key: _decode(item, tensors) for key, item in pairs}
        case list():
            return [_decode(item, tensors) for item in code]
    return code


def _exactly(loaded: Any, saved: Any) -> Any:
    """Return the saved values, tensors on the device where torch put them: loading may have changed their dtypes."""
    match loaded:
        case Tensor():
            return saved.to(loaded.device)
        case dict():
            return {key: _exactly(item, saved[key]) for key, item in loaded.items()}
        case list() | tuple():
            return type(loaded)(_exactly(item, other) for item, other in zip(loaded, saved, strict=True))
    return saved


def _shapes(optimizer: torch.optim.Optimizer) -> list[list[list[int]]]:
    """Shapes of the parameters, group by group."""
    return [[list(parameter.shape) for parameter in group["params"]] for group in optimizer.param_groups]


def pack_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], str]:
    """Split an optimizer's state into tensors and a note.

    Args:
        optimizer: Any torch optimizer, between two steps.

    Returns:
        Contiguous CPU copies, none sharing memory, under unique names (empty if the optimizer has no tensors); and a
        JSON text with everything else and the position of each tensor.

    Raises:
        InputError: The state contains anything but tensors, numbers, text, lists, tuples and dictionaries.

    Example:
        >>> tensors, note = pack_state(optimizer)
        >>> unpack(same_kind_of_optimizer, tensors, note)
    """
    tensors: dict[str, Tensor] = {}
    state = _encode(optimizer.state_dict(), "optimizer", tensors)
    return tensors, json.dumps({"kind": type(optimizer).__name__, "shapes": _shapes(optimizer), "state": state})


def unpack(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], note: str) -> None:
    """Load a packed state into an optimizer, which then continues like the packed one, bit for bit.

    Args:
        optimizer: Created like the packed one, for parameters of the same shapes on any device.
        tensors: From `pack_state`; not modified, the state consists of copies.
        note: From `pack_state`.

    Raises:
        InputError: The note is damaged, belongs to another kind of optimizer or other parameters, or lacks a tensor.
    """
    try:
        packed = json.loads(note)
        kind, shapes = packed["kind"], packed["shapes"]
        saved = _decode(packed["state"], tensors)
    except KeyError as error:
        raise InputError(f"optimizer state: {error} is missing, pack it again") from None
    except (ValueError, TypeError):
        raise InputError("optimizer state: the note is invalid, pack it again") from None
    if kind != type(optimizer).__name__:
        raise InputError(
            f"optimizer state of {kind} for {type(optimizer).__name__}: create the kind of optimizer that was packed"
        )
    if shapes != _shapes(optimizer):
        raise InputError(
            f"optimizer state of {kind}: its parameters have other shapes, create the network it belongs to"
        )
    for group, other in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        if missing := sorted(group.keys() - other.keys()):
            raise InputError(
                f"optimizer state of {kind} lacks the setting {missing[0]!r}: create it like the packed one"
            )
    optimizer.load_state_dict(saved)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for index, exact in saved["state"].items():
        parameter = parameters[index]
        optimizer.state[parameter] = _exactly(optimizer.state[parameter], exact)
