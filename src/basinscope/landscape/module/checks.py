"""Checks before the first measurement; each error message names the usual cause."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from basinscope.errors import InputError, NonfiniteLossError
from basinscope.landscape.module.data_sets import Begin
from basinscope.landscape.module.loss import Answer
from basinscope.landscape.module.passes import Passes
from basinscope.landscape.module.twin import Twin

AGREE = 1e-5
"""Largest relative difference between two passes over the same batches that is attributed to rounding."""
COUNT_AGREES = 1e-6
"""Relative difference of counts that rounding explains."""
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


def refuse_not_finite(mean: float, losses: Sequence[float]) -> None:
    """Refuse a loss at the center that is not finite.

    Args:
        mean: Mean over all batches.
        losses: Mean of each batch.

    Raises:
        NonfiniteLossError: It is NaN or infinite; the message names the first batch to blame.
    """
    if math.isfinite(mean):
        return
    message = f"the loss at the network's current weights is {mean}"
    bad = [index for index, loss in enumerate(losses) if not math.isfinite(loss)]
    if bad and len(bad) < len(losses):
        message += (
            f": batch {bad[0] + 1} of {len(losses)} gives {losses[bad[0]]}, for example because all of its labels are "
            "ignored; leave it out, or return (sum, count)"
        )
    end = "" if bad and len(bad) < len(losses) else "; nothing can be measured around it"
    raise NonfiniteLossError(message + end, mean)


def tolerance_of(dtypes: Iterable[torch.dtype]) -> float:
    """Largest relative difference between two passes, with and without a graph, that is attributed to rounding."""
    coarsest = max(torch.finfo(dtype).eps for dtype in dtypes)
    return max(AGREE, coarsest)


def refuse_random(
    first: float,
    second: float,
    model: nn.Module,
    passes: Passes,
    begin: Begin,
    answer: Callable[[Any], Answer],
    changed: Sequence[str],
    *,
    precision: float = AGREE,
) -> None:
    """Refuse a loss that differs between two passes.

    Args:
        first: The loss in one pass.
        second: The loss in another.
        model: The network.
        passes: Iterates over batches.
        begin: Starts a pass.
        answer: Loss of one batch.
        changed: Attributes of the network that the passes have changed.
        precision: Relative difference that is attributed to rounding.

    Raises:
        InputError: The loss is not reproducible; the message gives the cause.
    """
    if abs(first - second) <= precision * max(abs(first), abs(second)) + 1e-12:
        return
    message = f"two passes over the batches give a loss of {first:.6g} and {second:.6g}: "
    if changed:
        raise InputError(
            message + f"the network keeps state between calls in {', '.join(changed[:3])}; reset it in the loss "
            "function, or register it as a buffer"
        )
    for batch in passes.batches(begin):
        once, again = (sum(float(f.total.detach()) for f in passes.pieces("loss", batch, answer)) for _ in range(2))
        if once != again and abs(once - again) > AGREE * max(abs(once), abs(again)):
            if any(module.training for module in model.modules()):
                raise InputError(
                    message + "the network is random and in training mode; call model.eval() first, or draw the same "
                    "random numbers in each call of the loss function"
                )
            raise InputError(message + "the network or the loss function draws random numbers; make both deterministic")
        break
    raise InputError(
        message + "each batch gives the same loss twice, so the batches change from pass to pass (random augmentation, "
        "sampling, or shuffling with drop_last); store them in a list first"
    )


def refuse_other_count(center: float, here: float) -> None:
    """Refuse a count that differs from the center's.

    Raises:
        InputError: It does.
    """
    if not math.isclose(center, here, rel_tol=COUNT_AGREES):
        raise InputError(
            f"the count that the loss function returns was {center:g} at the network's weights and is {here:g} at "
            "another point: return (sum of losses, number of samples), not an accuracy"
        )


def refuse_own_modules(model: nn.Module, called: Sequence[str]) -> None:
    """Refuse a loss that runs layers of the network itself, whose weights are not moved.

    Raises:
        InputError: A layer of the network ran; the message names it and the usual causes.
    """
    if not called:
        return
    kind = type(model).__name__
    replaced = [name or kind for name, module in model.named_modules() if "forward" in vars(module)]
    if replaced:
        raise InputError(
            f"the forward of {replaced[0]} was replaced by a function that runs the network itself instead of the copy "
            "in which weights are moved: remove it while measuring"
        )
    raise InputError(
        f"{called[0] or kind} of the network itself runs instead of its copy, in which weights are moved: "
        "loss_fn(model, batch) must use the model passed to it, not one from an outer scope"
    )


def refuse_own_parameters(model: nn.Module, leaves: Collection[int]) -> None:
    """Refuse a loss that depends on tensors of the network itself, which are not moved.

    Raises:
        InputError: A parameter of the network is in the graph of the loss; the message names it.
    """
    for name, parameter in model.named_parameters():
        if id(parameter) in leaves:
            raise InputError(
                f"the loss depends on {name} of the network itself instead of its copy, in which weights are moved: "
                "use the model passed to loss_fn(model, batch), and remove replaced forwards while measuring"
            )


def refuse_no_effect(twin: Twin, hidden: Collection[str], called: Sequence[str], *, moves_zeros: bool) -> None:
    """Refuse a loss that no moved tensor changes, or that was computed by a replaced `forward`.

    Args:
        twin: Working copy.
        hidden: Moved tensors without effect on the loss.
        called: Layers of the copy that ran.
        moves_zeros: Whether directions move tensors that are zero.

    Raises:
        InputError: No moved tensor has an effect, or a layer among them has a replaced `forward`.
    """
    layers = dict(twin.copy.named_modules())
    for name in hidden:
        owner = name.rpartition(".")[0]
        if "forward" in vars(layers.get(owner, twin.copy)):
            raise InputError(
                f"the forward of {owner or type(twin.model).__name__} was replaced by a function that does not use its "
                f"copy's {name.rpartition('.')[2]}: remove it while measuring"
            )
    others = [f.name for f in twin.filters if f.name not in hidden]
    zero = [f.name for f, target in zip(twin.filters, twin.targets, strict=True) if not bool(target.any())]
    if others and set(others) <= set(zero) and not moves_zeros:
        raise InputError(
            f"{others[0]} is zero, so directions scaled by norms of weights do not move it, and {next(iter(hidden))} "
            "has no effect, as in a low-rank adapter before training: train it first, or pass normalization='sphere'"
        )
    if others:
        return
    if not called:
        raise InputError(
            "the loss does not depend on the weights, and the model was never called: loss_fn(model, batch) must "
            "use the model passed to it, not one from an outer scope"
        )
    raise InputError(
        f"the loss does not depend on any moved tensor ({', '.join(list(hidden)[:3])}): choose others by parameters="
    )
