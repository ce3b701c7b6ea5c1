"""Weights from files, into a network: nothing is ever unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from basinscope.errors import InputError

WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
"""Names under which training scripts keep the weights beside other things."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers put before every name."""
_TOLD = 3
"""Mismatches that a message names."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary from a `.safetensors` file, or from one that `torch.save` wrote.

    Raises:
        InputError: The file is not there, damaged, holds more than tensors, or no state dictionary.
    """
    if not path.is_file():
        raise InputError(f"{path}: is not there; name a checkpoint")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: cannot be read as safetensors; is it whole?") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch tells of damage and of foreign objects in many ways
        raise InputError(
            f"{path}: cannot be read as weights alone ({type(error).__name__}): it is damaged, or holds other objects, "
            "which are never unpickled; save model.state_dict()"
        ) from error
    return _tensors(found, path)


def _tensors(found: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(found, Mapping) and not all(isinstance(value, Tensor) for value in found.values()):
        for key in WRAPPERS:
            if isinstance(found.get(key), Mapping):
                return _tensors(found[key], path)
        kept = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
        if kept and any(not isinstance(value, Mapping) for value in found.values()):
            return kept
    if isinstance(found, Mapping) and found and all(isinstance(value, Tensor) for value in found.values()):
        return {str(key): value for key, value in found.items()}
    raise InputError(f"{path}: holds a {type(found).__name__}, no state dictionary; save model.state_dict()")


def fill(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dictionary into a network, all of it or nothing.

    Prefixes that wrappers for several devices or for compiling put before every name are taken off if the network has
    none. A tensor that is tied to another one may be missing.

    Args:
        model: The network; changed.
        state: The weights.
        what: What to call them in a message.

    Raises:
        InputError: Names or shapes differ; the message names the first three.
    """
    own = model.state_dict()
    given = dict(state)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in given) and not all(name.startswith(prefix) for name in own):
            given = {name.removeprefix(prefix): tensor for name, tensor in given.items()}
    places = {tensor.data_ptr() for name, tensor in own.items() if name in given and tensor.numel()}
    missing = [
        f"{name}: missing"
        for name, tensor in own.items()
        if name not in given and not (tensor.numel() and tensor.data_ptr() in places)
    ]
    foreign = [f"{name}: not in the network" for name in given if name not in own]
    other = [
        f"{name}: {tuple(given[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in given and given[name].shape != tensor.shape
    ]
    # One of each kind before the second of any: a prefix shows only in what is missing and foreign together.
    wrong = [line for lines in zip_longest(missing, foreign, other) for line in lines if line]
    if wrong:
        more = f", and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
        raise InputError(f"{what} does not fit {type(model).__name__}: {'; '.join(wrong[:_TOLD])}{more}")
    model.load_state_dict(given, strict=False)
