"""Loss functions and metrics of users, whose return value is interpreted as a sum and a count."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from basinscope.errors import InputError, kind_of, with_article
from basinscope.landscape.module.conditions import Conditions
from basinscope.landscape.module.counting import Count, Counting
from basinscope.memory import is_out_of_memory

Loss = Callable[[Any, Any], Any]
"""`loss_fn(model, batch)`: each sample's loss, `(sum of losses, count)`, or the mean over the batch."""


_NUM_NAMED = 3
"""Parts of a batch named in a message."""


@dataclass(frozen=True)
class Answer:
    """Loss of one batch."""

    total: Tensor
    """Sum of the losses, differentiable, in double precision if the device supports it."""
    count: float
    """Divisor of the sum for the mean."""


class LossFunction:
    """A loss function or metric, with the interpretation of its return value.

    Args:
        function: The user's function.
        what: Its name in error messages.
        counting: What a mean over a batch counts.
        conditions: Conditions under which it is called.
    """

    def __init__(self, function: Loss, what: str, counting: Counting, conditions: Conditions) -> None:
        self.function, self.what, self.counting, self.conditions = function, what, counting, conditions

    def __call__(self, model: Any, batch: Any) -> Answer:
        """Loss of one batch.

        Losses may use derivatives with respect to inputs, so gradients are enabled; nothing is recorded for them unless
        a tensor requires a gradient.

        Raises:
            InputError: The return value has none of the accepted forms.
        """
        return self.understood(self.value(model, batch), batch)

    def value(self, model: Any, batch: Any) -> Any:
        """The return value for one batch."""
        with torch.enable_grad(), self.conditions.applied():
            return self.function(model, batch)

    @contextlib.contextmanager
    def explained(self, where: str, batch: Any, *, widened: bool) -> Iterator[None]:
        """Context in which an exception of the user's function becomes one line that names the function and the batch.

        Args:
            where: Number of the batch.
            batch: The batch.
            widened: Whether a network of half precision is evaluated in single precision.

        Raises:
            InputError: The function fails, but not for want of memory.
        """
        try:
            yield
        except (InputError, MemoryError):
            raise
        except Exception as error:  # the user's function can fail in any way
            if is_out_of_memory(error):
                raise
            hint = "; half-precision networks are evaluated in float32: remove casts, or pass precision='own'"
            raise InputError(
                f"{self.what} fails on {where}, {with_article(described(batch))}: {type(error).__name__}: "
                f"{first_line(error)}{hint if widened and 'dtype' in str(error) else ''}"
            ) from error

    def understood(self, found: Any, batch: Any) -> Answer:
        """Interpret the return value for one batch."""
        if isinstance(found, tuple) and len(found) == 2:
            total, count = exact(found[0], f"the sum that {self.what} returns"), found[1]
            if total.numel() != 1 or (isinstance(count, Tensor) and count.numel() != 1):
                raise InputError(f"{self.what} returns (sum, count): both must be a single number")
            count = float(count)
            self.counting.note_pair(batch, total, count)
            return Answer(total.reshape(()), count)
        losses = exact(found, f"what {self.what} returns")
        if losses.ndim == 0:
            weight = self.counting.weight(batch, losses)
            return Answer(losses * weight, weight)
        if losses.ndim == 1:
            return Answer(losses.sum(), len(losses))
        raise InputError(
            f"{self.what} returns a tensor of shape {tuple(losses.shape)}: return one loss per sample (summed over "
            "other axes), a mean, or (sum, count)"
        )


def loss_functions(
    loss_fn: Loss, metrics: Mapping[str, Loss], conditions: Conditions, model: nn.Module, count: Count | None
) -> dict[str, LossFunction]:
    """The loss function, named `loss`, and the metrics.

    Args:
        loss_fn: The loss function.
        metrics: Further functions by name.
        conditions: Conditions under which they are called.
        model: The network.
        count: What a mean over a batch counts, as set by the user.
    """
    functions = {"loss": ("the loss function", loss_fn)}
    functions |= {name: (f"metrics[{name!r}]", function) for name, function in metrics.items()}
    return {
        name: LossFunction(function, what, Counting(model, what, count), conditions)
        for name, (what, function) in functions.items()
    }


def exact(value: Any, what: str) -> Tensor:
    """Cast a loss to double precision if the device supports it; plain numbers become tensors.

    Raises:
        InputError: It is neither a real tensor nor a number.
    """
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return torch.tensor(float(value), dtype=torch.float64)
    if not isinstance(value, Tensor):
        hint = "; return its .loss" if isinstance(getattr(value, "loss", None), Tensor) else ""
        raise InputError(f"{what} is {kind_of(value)}: a tensor is needed{hint}")
    if value.is_complex():
        raise InputError(f"{what} is complex: a real tensor is needed")
    return value.to(torch.float32 if value.device.type == "mps" else torch.float64)


def described(batch: Any) -> str:
    """Types and shapes of a batch."""
    kind = type(batch).__name__
    if isinstance(batch, tuple | list):
        return f"{kind} of {', '.join(described(part) for part in batch[:_NUM_NAMED])}"
    shape = getattr(batch, "shape", None)
    return f"{kind} of shape {tuple(shape)}" if shape is not None else kind


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type."""
    return (str(error) or type(error).__name__).strip().splitlines()[0]
