"""Chooses how many points are evaluated, by timing the methods once on the given network and batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from basinscope.errors import InputError
from basinscope.landscape.kernel import KernelError, is_built
from basinscope.landscape.module.chain import recognised
from basinscope.landscape.module.together import ByKernel, ByOutputs, ByVmap, Together, num_evaluated
from basinscope.landscape.module.twin import Twin

AT_ONCE = 32
"""Points evaluated together in a chain of linear layers; more do not fit the cache."""
AT_ONCE_ON_GPU = 256
AT_ONCE_BY_SECONDS = ((2e-3, 32), (2e-2, 4), (float("inf"), 2))
"""Points per `vmap` call, by upper bounds on the seconds of a pass: a slow network saturates the CPU by itself."""
TRIES = 3
FEW = 48
"""Below this many evaluations no trial is made: it would cost more than it saves."""
CLEARLY_FASTER = 0.9
"""A method is chosen only if it takes less than this share of the time of evaluating one by one."""
WORTH_VMAP = 2_000
"""Evaluations in one process from which losses of outputs use `vmap`, for which torch imports further modules."""
WORTH_THE_KERNEL = 4_000
"""Evaluations in one process from which compiling the C kernel pays; a compiled kernel is always tried."""
AGREE = {"torch.float64": 1e-12, "torch.float32": 1e-6}
"""Largest accepted relative difference of losses, by dtype of the moved tensors."""


@dataclass(frozen=True)
class Choice:
    """Outcome of the trial."""

    way: Together | None
    """The method; None evaluates points one by one."""
    reason: str
    microseconds: float = float("nan")
    """Time per evaluation with the chosen method."""
    one_by_one_us: float = float("nan")
    """Time per evaluation one by one, in microseconds."""
    final: bool = True
    """Whether the choice also applies to calls with more points."""

    def holds_for(self, planned: int) -> bool:
        """Whether the choice applies to a call with this many evaluations."""
        return self.final or are_few(planned)

    @property
    def points_at_once(self) -> int:
        """Number of points evaluated together."""
        return self.way.at_once if self.way else 1

    @property
    def words(self) -> str:
        """Description of the choice, as stored in results."""
        if self.way is None:
            return f"one by one ({self.reason})"
        return f"{self.way.name}, {self.way.at_once} points at once"


def are_few(planned: int) -> bool:
    """Whether so few evaluations are planned that a trial does not pay; 0 stands for an unknown number."""
    return 0 < planned < FEW


def _candidates(
    twin: Twin, at_once: int | None, planned: int, seconds: float, *, repeatable: bool
) -> Iterator[Callable[[], Together]]:
    """Methods that may work, the most promising first."""
    on_gpu = twin.device.type == "cuda"
    num = at_once or (AT_ONCE_ON_GPU if on_gpu else AT_ONCE)
    chain = recognised(twin.copy, twin.filters)
    if chain is not None:
        total = planned + (0 if repeatable else num_evaluated())
        vmapped = total >= WORTH_VMAP
        fits_kernel = chain.rectifies and twin.device.type == "cpu" and planned > 0
        if fits_kernel and (total >= WORTH_THE_KERNEL or (not repeatable and is_built(twin.targets[0].dtype))):
            yield lambda: ByKernel(twin, chain, num, vmapped=vmapped)
        yield lambda: ByOutputs(twin, chain, num, vmapped=vmapped)
    tried = num if at_once or on_gpu else next(count for limit, count in AT_ONCE_BY_SECONDS if seconds < limit)
    yield lambda: ByVmap(twin, tried)


def choose_evaluation(
    twin: Twin,
    *,
    known: Sequence[tuple[float, float]],
    one_by_one: Callable[[float], float],
    together: Callable[[Together, Float[np.ndarray, " points"]], np.ndarray],
    distances: Sequence[float],
    at_once: int | None,
    planned: int,
    repeatable: bool,
) -> Choice:
    """Choose the first method of joint evaluation that is correct and clearly faster than one by one.

    Args:
        twin: Working copy of the network.
        known: Known pairs (distance along one direction, loss).
        one_by_one: Loss at one distance, evaluated alone.
        together: Losses at several distances with a given method.
        distances: Where methods are compared; for slow networks only the first is used.
        at_once: Number of points evaluated together, as set by the user; None leaves it to the trial.
        planned: Number of evaluations planned for the whole call.
        repeatable: Whether the method must not depend on what this process or machine has done before.
    """
    if len({(t.device, t.dtype) for t in twin.targets}) > 1:
        return Choice(None, "the moved tensors have several types or devices")
    agree = AGREE.get(str(twin.targets[0].dtype))
    if agree is None:
        return Choice(None, f"weights of type {twin.targets[0].dtype}")
    compared, seconds = list(known), float("inf")
    for distance in distances:
        began = time.perf_counter()
        compared.append((distance, one_by_one(distance)))
        seconds = min(seconds, time.perf_counter() - began)
        if seconds > AT_ONCE_BY_SECONDS[1][0]:
            break
    us, reason = 1e6 * seconds, "faster here"
    for make in _candidates(twin, at_once, planned, seconds, repeatable=repeatable):
        outcome = _trial(make, together, compared, agree, CLEARLY_FASTER * seconds)
        if isinstance(outcome, str):
            reason = outcome
            continue
        method, each = outcome
        if at_once is not None or each < CLEARLY_FASTER * seconds:
            return Choice(method, "measured", 1e6 * each, us)
        reason = "faster here"
    return Choice(None, reason, us, us)


def _trial(
    make: Callable[[], Together],
    together: Callable[[Together, Float[np.ndarray, " points"]], np.ndarray],
    compared: Sequence[tuple[float, float]],
    agree: float,
    enough: float,
) -> tuple[Together, float] | str:
    """A method and its seconds per evaluation, or the reason why it cannot be used."""
    plain = np.array([loss for _, loss in compared])
    losses = np.full(len(plain), np.nan)
    try:
        method = make()
        given, seconds = np.array([distance for distance, _ in compared]), float("inf")
        for turn in range(TRIES):  # the first may include warm-up, and other programs may interfere
            # A method that is fast enough with the few compared points is so with full batches of points.
            distances = given if turn == 0 else np.resize(given, max(method.at_once, len(plain)))
            began = time.perf_counter()
            losses = together(method, distances)
            seconds = min(seconds, (time.perf_counter() - began) / len(distances))
            if seconds < enough:
                break
    except InputError:
        raise
    except KernelError as error:
        return f"the kernel cannot be built: {error}"
    except Exception as error:  # batching can fail with any exception
        return f"points cannot be evaluated together: {type(error).__name__}"
    if not _same(losses[: len(plain)], plain, agree):
        return "losses evaluated together differ"
    return method, seconds


def _same(losses: Float[np.ndarray, " points"], plain: Float[np.ndarray, " points"], agree: float) -> bool:
    """Whether losses agree with those evaluated one by one; non-finite values must be identical."""
    finite = np.isfinite(plain)
    if not np.array_equal(losses[~finite], plain[~finite], equal_nan=True):
        return False
    known, given = plain[finite], losses[finite]
    scale = np.maximum(np.abs(known), 1e-3 * np.abs(known).max(initial=0.0))
    return bool((np.abs(given - known) <= agree * np.maximum(scale, 1e-12)).all())
