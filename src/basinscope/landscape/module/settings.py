"""Validates the arguments of an objective that need no network to be checked."""

from __future__ import annotations

from typing import Any, get_args

from torch import nn

from basinscope.errors import InputError, check_choice
from basinscope.landscape.directions import Scheme
from basinscope.landscape.masks import check_masks
from basinscope.landscape.module.twin import Precision


def check_settings(
    model: Any, loss_fn: Any, *, normalization: str, precision: str, points_at_once: Any, masks: Any
) -> None:
    """Check types and choices.

    Raises:
        InputError: An argument has the wrong type, or a value that is not offered.
    """
    if not isinstance(model, nn.Module):
        # `torch.export.ExportedProgram` is no module, but makes one.
        exported = "pass its .module()" if type(model).__name__ == "ExportedProgram" else "pass an nn.Module"
        raise InputError(f"model is a {type(model).__name__}: {exported}")
    if not callable(loss_fn):
        raise InputError(f"loss_fn is a {type(loss_fn).__name__}: pass a function of the model and a batch")
    check_choice("normalization", normalization, get_args(Scheme))
    check_choice("precision", precision, get_args(Precision))
    if points_at_once is not None and not (isinstance(points_at_once, int) and points_at_once >= 1):
        raise InputError(f"points_at_once = {points_at_once!r}: must be a whole number of at least 1")
    check_masks(masks)
