"""Reads weights from files and loads them into networks; nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from basinscope.errors import InputError, kind_of
from basinscope.landscape.names import fitted, names_of, saved_weights


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary from a `.safetensors` file, or from one that `torch.save` wrote.

    If a training script has saved several under known keys, names begin with these keys.

    Raises:
        InputError: The file is missing or damaged, contains objects other than tensors, or no state dictionary.
    """
    if not path.is_file():
        raise InputError(f"{path}: not found; name a checkpoint")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: cannot be read as safetensors; check that it is complete") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds of errors for damage and for foreign objects
        raise InputError(
            f"{path}: cannot be read as plain weights ({type(error).__name__}): it is damaged or contains other "
            "objects, which are never unpickled; save model.state_dict()"
        ) from error
    return _tensors(content, path)


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    tensors = saved_weights(content) if isinstance(content, Mapping) else {}
    if not tensors:
        keys = f" with the keys {', '.join(map(str, content))}" if isinstance(content, Mapping) and content else ""
        raise InputError(f"{path}: contains {kind_of(content)}{keys}, not a state dictionary; save model.state_dict()")
    return tensors


def fill(model: nn.Module, state: Mapping[str, Any], what: str) -> None:
    """Load a state dictionary into a network, completely or not at all.

    Names are matched as `landscape.names` describes. A tensor that is tied to another one may be missing, and so may
    counters and other integer buffers, which the network then keeps.

    Args:
        model: The network; modified in place.
        state: The weights.
        what: Their name in messages.

    Raises:
        InputError: Names or shapes differ, or only one of two tensors is complex; the message names the first three.
    """
    own, names = model.state_dict(), names_of(model)
    parameters = dict(model.named_parameters(remove_duplicate=False))
    required = [
        name
        for name, tensor in own.items()
        if name in parameters or (isinstance(tensor, Tensor) and tensor.is_floating_point())
    ]
    given = fitted(state, names, required=required, what=what, network=type(model).__name__)
    for name, tensor in given.items():
        if name not in own and not torch.equal(tensor.to(names.tensors[name]), names.tensors[name]):
            raise InputError(f"{what}: the buffer {name} differs from the network's, whose state dictionary omits it")
    model.load_state_dict(given, strict=False)
