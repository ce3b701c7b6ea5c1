"""Reads weights from files and loads them into networks; nothing is ever unpickled."""

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
"""Keys under which training scripts save the weights along with other data."""
PREFIXES = ("module.", "_orig_mod.", "model.")
"""Prefixes that wrappers add to every name."""
_NUM_NAMED = 3
"""Number of mismatches named in a message."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary from a `.safetensors` file, or from one that `torch.save` wrote.

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


def unwrapped(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The weights among other data of a training script; the mapping itself if it holds tensors."""
    if not any(isinstance(value, Tensor) for value in state.values()):
        for key in WRAPPERS:
            if isinstance(state.get(key), Mapping):
                return unwrapped(state[key])
    return state


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and not all(isinstance(value, Tensor) for value in content.values()):
        for key in WRAPPERS:
            if isinstance(content.get(key), Mapping):
                return _tensors(content[key], path)
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if tensors and any(not isinstance(value, Mapping) for value in content.values()):
            return tensors
    if isinstance(content, Mapping) and content and all(isinstance(value, Tensor) for value in content.values()):
        return {str(key): value for key, value in content.items()}
    raise InputError(f"{path}: contains a {type(content).__name__}, not a state dictionary; save model.state_dict()")


def form_of(tensor: Tensor) -> str:
    """Shape of a tensor, and whether it is complex, in words."""
    return f"{'complex ' if tensor.is_complex() else ''}{tuple(tensor.shape)}"


def fill(model: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dictionary into a network, completely or not at all.

    Prefixes that wrappers such as `DataParallel` or `torch.compile` add to every name are removed if the network has
    none. A tensor that is tied to another one may be missing.

    Args:
        model: The network; modified in place.
        state: The weights.
        what: Their name in messages.

    Raises:
        InputError: Names or shapes differ, or only one of two tensors is complex; the message names the first three.
    """
    own = model.state_dict()
    given = dict(state)
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in given) and not all(name.startswith(prefix) for name in own):
            given = {name.removeprefix(prefix): tensor for name, tensor in given.items()}
    pointers = {tensor.data_ptr() for name, tensor in own.items() if name in given and tensor.numel()}
    missing = [
        f"{name}: missing"
        for name, tensor in own.items()
        if name not in given and not (tensor.numel() and tensor.data_ptr() in pointers)
    ]
    foreign = [f"{name}: not in the network" for name in given if name not in own]
    other = [
        f"{name}: {form_of(given[name])}, not {form_of(tensor)}"
        for name, tensor in own.items()
        if name in given and form_of(given[name]) != form_of(tensor)
    ]
    # Alternate between the kinds: a wrong prefix shows only in missing and foreign names together.
    wrong = [line for lines in zip_longest(missing, foreign, other) for line in lines if line]
    if wrong:
        more = f", and {len(wrong) - _NUM_NAMED} more" if len(wrong) > _NUM_NAMED else ""
        raise InputError(f"{what} does not fit {type(model).__name__}: {'; '.join(wrong[:_NUM_NAMED])}{more}")
    model.load_state_dict(given, strict=False)
