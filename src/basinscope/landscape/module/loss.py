"""Interprets the return value of a loss function or metric as a sum and a count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.module.batches import length

Loss = Callable[[Any, Any], Any]
"""`loss_fn(model, batch)`: each sample's loss, `(sum of losses, count)`, or the mean over the batch."""


@dataclass(frozen=True)
class Answer:
    """Loss of one batch."""

    total: Tensor
    """Sum of the losses, differentiable, in double precision if the device supports it."""
    count: float
    """Divisor of the sum for the mean."""


def understood(found: Any, batch: Any, what: str = "the loss function") -> Answer:
    """Interpret the return value of a loss function or metric for one batch.

    Args:
        found: The return value.
        batch: The batch; its length is the count of a mean.
        what: Name of the function in error messages.

    Raises:
        InputError: The return value has none of the accepted forms.
    """
    if isinstance(found, tuple) and len(found) == 2:
        total, count = exact(found[0], f"the sum that {what} returns"), found[1]
        if total.numel() != 1 or (isinstance(count, Tensor) and count.numel() != 1):
            raise InputError(f"{what} returns (sum, count): both must be a single number")
        return Answer(total.reshape(()), float(count))
    losses = exact(found, f"what {what} returns")
    if losses.ndim == 0:
        num = length(batch)
        return Answer(losses * num, num)
    if losses.ndim == 1:
        return Answer(losses.sum(), len(losses))
    raise InputError(
        f"{what} returns a tensor of shape {tuple(losses.shape)}: return one loss per sample (summed over other axes), "
        "a mean, or (sum, count)"
    )


def exact(value: Any, what: str) -> Tensor:
    """Cast a loss to double precision if the device supports it.

    Raises:
        InputError: It is not a real tensor.
    """
    if not isinstance(value, Tensor):
        hint = "; return its .loss" if isinstance(getattr(value, "loss", None), Tensor) else ""
        raise InputError(f"{what} is a {type(value).__name__}: a tensor is needed{hint}")
    if value.is_complex():
        raise InputError(f"{what} is complex: a real tensor is needed")
    return value.to(torch.float32 if value.device.type == "mps" else torch.float64)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]
