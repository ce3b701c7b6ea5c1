"""What a recorder measures at each copy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from basinscope.errors import InputError, kind_of
from basinscope.landscape.module.objective import Objective
from basinscope.probes.curvature import MAX_STEPS
from basinscope.probes.lanczos import EIGEN_TOLERANCE
from basinscope.settings import check_setting

Own = Callable[[nn.Module], Any]
"""A function of the network, in eval mode: returns a number, or several by name."""
TOP, LOSS, TRACE, SHARPNESS = "top eigenvalue", "loss", "trace", "sharpness"
"""Names of the ready-made measurements."""


@dataclass(frozen=True, kw_only=True)
class TrainingProbes:
    """What a `Recorder` measures at each copy of a network: curvature, sharpness, and functions of your own.

    Costs per copy, in passes over the objective's batches (a backward pass counts as two): the loss takes 2 or 3, which
    are also the objective's checks. The top eigenvalue takes one product for each Lanczos step and one more, usually 8
    to 20, and 5 passes over one batch for the check of the gradient; a product takes 5 passes over a single batch, 10
    over several. The trace takes 2 · `trace_vectors` products, sharpness 56 passes. So give the objective one batch, or
    a few hundred samples.

    Args:
        objective: The loss, around the network that is trained; None measures only your own functions. For the limit
            2/η, it must be the training loss with the same reduction, over the tensors that are trained, thus with
            `one_dim="moved"`.
        top_eigenvalue: Whether to compute the largest eigenvalue of the Hessian. It starts from the last eigenvector.
        rho: Radius of the ball of `sharpness`, in Euclidean length; None omits it. One ascent of ten steps for the
            worst case, a lower bound; 20 random points for the average.
        trace_vectors: Random vectors for the trace, 2 or more; 0 omits it.
        further: Further functions by name: `f(model)` gets the network in eval mode and returns a number, or several
            by name. Whatever it changes in the network is restored.
        tolerance: Residual of the eigenpair, relative to the eigenvalue of largest magnitude.
        max_steps: Maximum number of Lanczos steps.
        seed: Seed of all random vectors.

    Raises:
        InputError: A setting is out of range, or nothing is measured.

    References:
        Cohen et al. 2021, arXiv 2103.00065 (edge of stability).

    Example:
        >>> probes = TrainingProbes(objective=objective, rho=0.1, further={"test error": error})  # doctest: +SKIP
        >>> recorder = Recorder(model, every=50, probes=probes, optimizer=optimizer)              # doctest: +SKIP
    """

    objective: Objective | None = None
    top_eigenvalue: bool = True
    rho: float | None = None
    trace_vectors: int = 0
    further: Mapping[str, Own] = field(default_factory=dict)
    tolerance: float = EIGEN_TOLERANCE
    max_steps: int = MAX_STEPS
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("top_eigenvalue", "rho", "trace_vectors", "tolerance", "max_steps", "seed"):
            object.__setattr__(self, name, check_setting(type(self).__init__, name, getattr(self, name)))
        if self.objective is not None and not isinstance(self.objective, Objective):
            raise InputError(
                f"TrainingProbes: objective is {kind_of(self.objective)}: pass bs.Objective(model, loss_fn, batches)"
            )
        if not isinstance(self.further, Mapping):
            raise InputError(f"TrainingProbes: further is {kind_of(self.further)}: pass functions by name")
        for name, function in self.further.items():
            if not isinstance(name, str) or not name.strip():
                raise InputError(f"Recorder: {name!r} is not a valid name of a probe: use non-empty text")
            if not callable(function):
                raise InputError(f"Recorder: the probe {name!r} is {kind_of(function)}: pass a function of the network")
            if self.objective is not None and name in (TOP, LOSS, TRACE, SHARPNESS):
                raise InputError(
                    f"Recorder: the probe {name!r} is named like a measurement of the objective: rename it"
                )
        if self.rho is not None and not (self.rho > 0 and math.isfinite(self.rho)):
            raise InputError(f"TrainingProbes: rho = {self.rho}: must be above 0")
        if self.trace_vectors < 0 or self.trace_vectors == 1:
            raise InputError(f"TrainingProbes: trace_vectors = {self.trace_vectors}: must be at least 2, or 0 for none")
        if self.max_steps < 1:
            raise InputError(f"TrainingProbes: max_steps = {self.max_steps}: must be at least 1")
        if not 0 < self.tolerance < 1:
            raise InputError(f"TrainingProbes: tolerance = {self.tolerance}: must lie between 0 and 1")
        if self.objective is None and not self.further:
            raise InputError("TrainingProbes: nothing to measure: pass objective= or further=")


Probes = Objective | TrainingProbes | Mapping[str, Own]
"""An objective, whose loss and top eigenvalue are measured; `TrainingProbes`; or functions of the network by name."""


def training_probes(probes: Probes) -> TrainingProbes:
    """Settings of what a recorder measures.

    Raises:
        InputError: It is none of the accepted kinds.
    """
    if isinstance(probes, TrainingProbes):
        return probes
    if isinstance(probes, Objective):
        return TrainingProbes(objective=probes)
    if isinstance(probes, Mapping):
        return TrainingProbes(further=probes)
    raise InputError(
        f"Recorder: probes is {kind_of(probes)}: pass bs.Objective(model, loss_fn, batches), "
        "bs.TrainingProbes(objective=...), or functions of the network by name"
    )
