"""Learning rates of an optimizer, and the curvature at which its steps become unstable."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.optim import SGD, Optimizer

from basinscope.errors import InputError, kind_of


@dataclass(frozen=True)
class Limit:
    """The largest curvature at which gradient descent is stable, at the optimizer's current settings."""

    learning_rate: float
    """The largest of all parameter groups."""
    threshold: float
    """The smallest of all parameter groups; NaN for optimizers that have none, infinite at a learning rate of 0."""
    formula: str
    """Formula of the threshold; empty without one."""
    note: str
    """Why there is no threshold, or how those of the parameter groups differ; may be empty."""


def plain_optimizer(optimizer: Any) -> Optimizer:
    """Remove the wrappers of Lightning and Accelerate.

    Raises:
        InputError: It is not an optimizer.
    """
    inner = optimizer
    while isinstance(getattr(inner, "optimizer", None), Optimizer):
        inner = inner.optimizer
    if not isinstance(inner, Optimizer):
        raise InputError(f"Recorder: optimizer is {kind_of(optimizer)}: pass a torch.optim.Optimizer")
    return inner


def limit_of(optimizer: Optimizer) -> Limit:
    """Compute the stability limit of gradient descent with momentum on a quadratic.

    Formulas: 2/η; with momentum (2 + 2β)/η, with Nesterov's (2 + 2β)/((1 + 2β)·η); dampening d divides by 1 − d;
    coupled weight decay λ adds λ to every eigenvalue of the Hessian, so the limit is lower by λ.

    References:
        Cohen et al. 2021, arXiv 2103.00065; Cohen et al. 2022, arXiv 2207.14484 (adaptive optimizers).
    """
    groups = optimizer.param_groups
    rate = max(float(group["lr"]) for group in groups)
    kind = type(optimizer).__name__
    if type(optimizer) is not SGD:
        return Limit(rate, math.nan, "", f"2/η limits no raw Hessian for {kind}, whose steps are not plain gradients")
    if any(group["maximize"] for group in groups):
        return Limit(rate, math.nan, "", "no limit: the optimizer maximizes")
    limits = [_threshold(group) for group in groups]
    lowest = min(range(len(groups)), key=limits.__getitem__)
    note = f"limits of the parameter groups from {min(limits):.3g} to {max(limits):.3g}; the lowest is given"
    return Limit(rate, limits[lowest], _formula(groups[lowest]), note if min(limits) < max(limits) else "")


def _threshold(group: Mapping[str, Any]) -> float:
    rate, momentum = float(group["lr"]), float(group["momentum"])
    if rate == 0:
        return math.inf
    # Dampening acts on the momentum buffer alone.
    scale = 1 - float(group["dampening"]) if momentum else 1.0
    scale *= 1 + 2 * momentum if group["nesterov"] else 1.0
    if scale <= 0:
        return math.inf
    return (2 + 2 * momentum) / (rate * scale) - float(group["weight_decay"])


def _formula(group: Mapping[str, Any]) -> str:
    momentum = float(group["momentum"])
    above, below = ("2 + 2β", "η") if momentum else ("2", "η")
    factors = ["(1 + 2β)"] * bool(group["nesterov"]) + ["(1 − d)"] * bool(momentum and group["dampening"])
    text = f"({above})/" if momentum else f"{above}/"
    text += f"({'·'.join([*factors, below])})" if factors else below
    text += " − λ" if group["weight_decay"] else ""
    values = [("β", momentum), ("d", float(group["dampening"]) if momentum else 0.0), ("λ", group["weight_decay"])]
    return ", ".join([text, *(f"{name} = {value:g}" for name, value in values if value)])
