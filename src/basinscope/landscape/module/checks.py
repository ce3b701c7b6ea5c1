"""Checks before the first measurement; each error message names the usual cause."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from basinscope.errors import InputError
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import Answer
from basinscope.landscape.module.passes import Passes

AGREE = 1e-5
"""Largest relative difference between two passes over the same batches that is attributed to rounding."""
_EVAL = "call model.eval() first"


def refuse_training_layers(model: nn.Module) -> None:
    """Refuse layers whose training mode makes the loss random or dependent on batch composition.

    Raises:
        InputError: There is such a layer; the message names it.
    """
    for name, module in model.named_modules():
        if not module.training:
            continue
        kind = type(module).__name__
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise InputError(f"{name or kind} ({kind}) is in training mode, which makes the loss random: {_EVAL}")
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise InputError(
                f"{name or kind} ({kind}) is in training mode, in which a sample's loss depends on the rest of its "
                f"batch: {_EVAL}"
            )


def refuse_random(
    first: float, second: float, model: nn.Module, passes: Passes, begin: Begin, answer: Callable[[Any], Answer]
) -> None:
    """Refuse a loss that is not finite or differs between two passes.

    Raises:
        InputError: The loss is not finite or not reproducible; the message gives the cause.
    """
    if not math.isfinite(first):
        raise InputError(f"the loss at the network's current weights is {first}; nothing can be measured around it")
    if abs(first - second) <= AGREE * max(abs(first), abs(second)) + 1e-12:
        return
    message = f"two passes over the batches give a loss of {first:.6g} and {second:.6g}: "
    for batch in passes.batches(begin):
        with torch.no_grad():
            once, again = (sum(float(f.total) for f in passes.pieces("loss", batch, answer)) for _ in range(2))
        if once != again and abs(once - again) > AGREE * max(abs(once), abs(again)):
            if any(module.training for module in model.modules()):
                raise InputError(message + "the network is random and in training mode; call model.eval() first")
            raise InputError(message + "the network or the loss function draws random numbers; make both deterministic")
        break
    raise InputError(
        message + "each batch gives the same loss twice, so the batches change from pass to pass (random augmentation, "
        "sampling, or shuffling with drop_last); store them in a list first"
    )


@contextlib.contextmanager
def calls_of(model: nn.Module) -> Iterator[list[bool]]:
    """Record calls of the model and its submodules while the context is open."""
    called: list[bool] = []
    handles = [module.register_forward_pre_hook(lambda *_: called.append(True)) for module in model.modules()]
    try:
        yield called
    finally:
        for handle in handles:
            handle.remove()


def refuse_other_model(center: float, nearby: float) -> None:
    """Refuse a loss function that ignores the model it is given.

    Args:
        center: Loss at the current weights, computed without a call of the model.
        nearby: Loss at a nearby point, where a loss that depends on the weights would differ.

    Raises:
        InputError: Both losses are equal.
    """
    if center == nearby:
        raise InputError(
            "the loss does not depend on the weights, and the model was never called: loss_fn(model, batch) must "
            "use the model passed to it, not one from an outer scope"
        )
