"""Validates the arguments of an objective that need no network to be checked."""

from __future__ import annotations

from typing import Any

from torch import nn

from basinscope.errors import InputError, kind_of
from basinscope.landscape.masks import check_masks


def check_settings(model: Any, loss_fn: Any, *, points_at_once: int | None, masks: Any) -> None:
    """Check what annotations do not say.

    Raises:
        InputError: An argument has the wrong type, or a value that is not offered.
    """
    if not isinstance(model, nn.Module):
        # `torch.export.ExportedProgram` is no module, but makes one.
        exported = "pass its .module()" if type(model).__name__ == "ExportedProgram" else "pass an nn.Module"
        raise InputError(f"model is {kind_of(model)}: {exported}")
    if not callable(loss_fn):
        raise InputError(f"loss_fn is {kind_of(loss_fn)}: pass a function of the model and a batch")
    if points_at_once is not None and points_at_once < 1:
        raise InputError(f"Objective: points_at_once = {points_at_once}: must be at least 1")
    check_masks(masks)
