"""Measures a network during training, without disturbing it, and labels the numbers."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor, nn
from torch.optim import Optimizer

from basinscope._version import __version__
from basinscope.errors import InputError, NonfiniteLossError
from basinscope.landscape.module.loss import first_line
from basinscope.landscape.module.objective import Objective
from basinscope.probes.flat_matrix import Hessian
from basinscope.probes.followed_eigenvalue import followed_eigenvalue
from basinscope.probes.labels import labelled
from basinscope.probes.sharpness import sharpness
from basinscope.probes.trace import trace
from basinscope.recording.as_found import as_found, refuse_shared_workers
from basinscope.recording.stability import Limit, limit_of, plain_optimizer
from basinscope.recording.training_probes import LOSS, SHARPNESS, TOP, TRACE, TrainingProbes
from basinscope.results.convert import Values, dataset
from basinscope.seeds import child_seed

_log = logging.getLogger(__name__)
OK, NONFINITE, FAILED = 0, 1, 2
"""Codes of `status`."""
NOT_MEASURED = 2
"""Code of `top_status`."""
_OF = {
    TOP: ("top_eigenvalue", "top_residual", "top_status"),
    TRACE: ("trace", "trace_stderr"),
    SHARPNESS: ("worst_sharpness", "average_sharpness", "average_sharpness_stderr"),
}
"""Variables of each ready-made measurement."""
_NUM_NAMED = 3
"""Tensors named in a message."""
_CHECKS = [logging.getLogger(f"basinscope.landscape.module.{name}") for name in ("first_passes", "derivatives")]
"""Loggers of the objective's checks, which run at each copy."""


class _Once(logging.Filter):
    """Drops messages that were logged before."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in self._seen
        self._seen.add(message)
        return new

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the objective's checks say nothing twice."""
        for logger in _CHECKS:
            logger.addFilter(self)
        try:
            yield
        finally:
            for logger in _CHECKS:
                logger.removeFilter(self)


class Measurements:
    """Measurements of one network, one row per copy.

    Args:
        model: The network.
        probes: What is measured.
        optimizer: The optimizer whose learning rate is recorded.

    Raises:
        InputError: The objective or the optimizer is of another network.
    """

    def __init__(self, model: nn.Module, probes: TrainingProbes, optimizer: Optimizer | None) -> None:
        self.model, self.probes = model, probes
        self.optimizer: Optimizer | None = None
        self._limit: Limit | None = None
        self._notes: list[str] = []
        self._rows: list[dict[str, float]] = []
        self._further: list[dict[str, float]] = []
        self._vector: Tensor | None = None
        self._logged: set[str] = set()
        self._once = _Once()
        objective = probes.objective
        if objective is not None:
            self._refuse_other_model(objective)
            refuse_shared_workers(objective.sources)
        if optimizer is not None:
            self.attach(optimizer)

    def _refuse_other_model(self, objective: Objective) -> None:
        ours = {id(parameter) for parameter in self.model.parameters()}
        if not all(id(parameter) in ours for parameter in objective.model.parameters()):
            raise InputError(
                f"Recorder: the objective is of another {type(objective.model).__name__} than the recorded network: "
                "create it with the same model"
            )

    def attach(self, optimizer: Any) -> None:
        """Record the learning rate of an optimizer from now on.

        Raises:
            InputError: It is no optimizer, or one of another network.
        """
        plain = plain_optimizer(optimizer)
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        tensors = [p for group in plain.param_groups for p in group["params"] if p.requires_grad]
        if not any(id(tensor) in names for tensor in tensors):
            raise InputError("Recorder: the optimizer trains no tensor of the network: pass the network's optimizer")
        trained = {id(tensor): names.get(id(tensor), "tensors of another network") for tensor in tensors}
        self.optimizer, self._notes = plain, []
        objective = self.probes.objective
        if objective is not None and self.probes.top_eigenvalue:
            self._compare(objective, trained)
        for row in self._rows[-1:]:  # a trainer makes its optimizer after the first measurement
            self._read_limit(row, plain)

    def _compare(self, objective: Objective, trained: Mapping[int, str]) -> None:
        """Note how the tensors of the Hessian differ from those that are trained."""
        own = dict(objective.model.named_parameters())
        # Effective weights of parametrised layers are no parameters of the network.
        chosen = {id(own[name]) if name in own else 0: name for name in objective.chosen}
        added = [name for key, name in chosen.items() if key not in trained]
        missing = [name for key, name in trained.items() if key not in chosen]
        for names, what in ((added, "includes"), (missing, "leaves out")):
            if names:
                more = f" and {len(names) - _NUM_NAMED} more" if len(names) > _NUM_NAMED else ""
                verb = "not trained" if what == "includes" else "trained"
                self._notes.append(f"the Hessian {what} {', '.join(names[:_NUM_NAMED])}{more}, {verb}")
        if missing:
            advice = ": pass one_dim='moved' to the objective" if objective.one_dim == "fixed" else ""
            _log.warning("Recorder: %s, so its top eigenvalue is a lower bound%s", self._notes[-1], advice)
        kinds = {"BatchNorm": nn.modules.batchnorm._BatchNorm, "dropout": nn.modules.dropout._DropoutNd}
        modal = [
            word for word, kind in kinds.items() if any(isinstance(module, kind) for module in self.model.modules())
        ]
        if modal:
            self._notes.append(f"the Hessian is that of eval mode, without training's {' and '.join(modal)}")

    def _read_limit(self, row: dict[str, float], optimizer: Optimizer) -> None:
        self._limit = limit_of(optimizer)
        row |= {"learning_rate": self._limit.learning_rate, "threshold": self._limit.threshold}

    def measure(self, step: int) -> None:
        """Measure the network as it is, and leave it so.

        The first measurement raises errors; later ones log them once, and record NaN.

        Raises:
            InputError: A first measurement fails.
        """
        objective, further = self.probes.objective, self.probes.further
        row: dict[str, float] = {"step": step, "status": OK}
        numbers: dict[str, float] = {}
        models = [self.model] if objective is None else [self.model, objective.model]
        sources = [] if objective is None else objective.sources
        if self.optimizer is not None:
            self._read_limit(row, self.optimizer)
        with as_found(models, sources, guarded=bool(further)), self._once.applied():
            if objective is not None:
                self._attempt(row, LOSS, lambda: self._around(objective, row))
            for name, function in further.items():
                self._attempt(row, name, lambda n=name, f=function: numbers.update(_named(n, f(self.model))))
        self._rows.append(row)
        self._further.append(numbers)

    def _attempt(self, row: dict[str, float], name: str, measure: Callable[[], object]) -> None:
        """Measure; after the first copy, an error is logged instead of ending the training."""
        first = not self._rows
        try:
            measure()
        except Exception as error:  # whatever it is, it must not end a training
            if first and isinstance(error, InputError):
                raise
            why = f"{type(error).__name__}: {first_line(error)}"
            if first:
                raise InputError(f"Recorder: the probe {name!r} fails: {why}") from error
            if name == LOSS and isinstance(error, NonfiniteLossError):
                row |= {LOSS: error.loss, "status": NONFINITE}
                self._tell(name, row, f"it is {error.loss}", "recorded as such")
            else:
                row["status"] = FAILED
                self._tell(name, row, why, "recorded as NaN, with status failed")

    def _tell(self, name: str, row: Mapping[str, float], why: str, how: str) -> None:
        if name not in self._logged:
            self._logged.add(name)
            _log.warning("Recorder: %s at update %d: %s; %s; training goes on", name, row["step"], why, how)

    def _around(self, objective: Objective, row: dict[str, float]) -> None:
        """Loss, curvature and sharpness at the current weights."""
        probes = self.probes
        row[LOSS] = objective.center_loss
        with objective.held():
            hessian = Hessian(objective, "plain")
            if probes.top_eigenvalue:
                self._attempt(row, TOP, lambda: self._top(hessian, row))
            if probes.trace_vectors:
                self._attempt(row, TRACE, lambda: row.update(_trace(hessian, probes)))
            if probes.rho is not None:
                rho = probes.rho
                self._attempt(row, SHARPNESS, lambda: row.update(_sharpness(objective, rho, probes.seed)))
        row["num_products"] = hessian.num_products

    def _top(self, hessian: Hessian, row: dict[str, float]) -> None:
        settings = {"tolerance": self.probes.tolerance, "max_steps": self.probes.max_steps}
        found = followed_eigenvalue(hessian, self._vector, seed=self.probes.seed, number=len(self._rows), **settings)
        self._vector = found.vector
        row |= dict(zip(_OF[TOP], (found.value, found.residual, int(not found.converged)), strict=True))

    def result(self) -> xr.Dataset:
        """The numbers so far, as a `training` dataset."""
        probes, objective = self.probes, self.probes.objective
        wanted = ["status"]
        if objective is not None:
            measured = {TOP: probes.top_eigenvalue, TRACE: probes.trace_vectors, SHARPNESS: probes.rho is not None}
            wanted += [LOSS, *(variable for name, do in measured.items() if do for variable in _OF[name])]
            wanted += ["num_products"] * bool(probes.top_eigenvalue or probes.trace_vectors)
        if self._limit is not None:
            wanted += ["learning_rate", *["threshold"] * bool(self._limit.formula)]
        blank: dict[str, float] = {"top_status": NOT_MEASURED, "num_products": 0}
        values: dict[str, Values] = {"step": np.array([int(row["step"]) for row in self._rows])}
        for name in wanted:
            column = [row.get(name, blank.get(name, math.nan)) for row in self._rows]
            kind = {"status": np.int8, "top_status": np.int8, "num_products": np.int64}.get(name, np.float64)
            values[name] = np.array(column, dtype=kind)
        names = list(dict.fromkeys(name for row in self._further for name in row))
        if names:
            values |= {
                "probe": names,
                "value": np.array([[row.get(n, math.nan) for row in self._further] for n in names]),
            }
        attributes: dict[str, Any] = {"seed": str(probes.seed)}
        if self.optimizer is not None and self._limit is not None:
            attributes["optimizer"] = type(self.optimizer).__name__
            attributes["threshold_formula"] = self._limit.formula
            attributes["threshold_note"] = "; ".join(filter(None, [self._limit.note, *self._notes]))
        if objective is None:
            return dataset("training", values, model=type(self.model).__name__, basinscope=__version__, **attributes)
        return labelled("training", objective, values, units=_units(objective.unit, values), **attributes)


def _units(unit: str, values: Mapping[str, Values]) -> dict[str, str]:
    """Units of the variables that have the loss's."""
    curved = f"{unit or 1} / weight²"
    curvatures = dict.fromkeys(("top_eigenvalue", "top_residual", "trace", "trace_stderr", "threshold"), curved)
    losses = dict.fromkeys((LOSS, *_OF[SHARPNESS]), unit)
    return {name: each for name, each in (curvatures | losses).items() if name in values}


def _trace(hessian: Hessian, probes: TrainingProbes) -> dict[str, float]:
    # The same vectors at every copy, so that differences are not those of the draws.
    seed = child_seed(probes.seed, "trace")
    found = trace(hessian.product, hessian.size, probes.trace_vectors, like=hessian.like, seed=seed)
    return dict(zip(_OF[TRACE], found, strict=True))


def _sharpness(objective: Objective, rho: float, seed: int) -> dict[str, float]:
    found = sharpness(objective, rho=rho, num_restarts=1, seed=seed, progress=False)
    numbers = (float(found[name]) for name in ("worst", "average", "average_stderr"))
    return dict(zip(_OF[SHARPNESS], numbers, strict=True))


def _named(name: str, found: Any) -> dict[str, float]:
    """Numbers that a user's function returned, by name.

    Raises:
        InputError: It returned something else.
    """
    parts = {f"{name} {key}": value for key, value in found.items()} if isinstance(found, Mapping) else {name: found}
    numbers = {}
    for key, value in parts.items():
        try:
            numbers[key] = float(value.detach() if isinstance(value, Tensor) else value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"Recorder: the probe {key!r} returned a {type(value).__name__}: return a number, or numbers by name"
            ) from error
    return numbers
