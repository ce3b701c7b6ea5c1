"""Which way of evaluating many points is used: tried once, on the network and batches at hand."""

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
"""Points that go through a chain of linear layers together: more leave the cache."""
AT_ONCE_ON_GPU = 256
AT_ONCE_BY_SECONDS = ((2e-3, 32), (2e-2, 4), (float("inf"), 2))
"""Points that `vmap` is tried with, by the seconds of a pass: a slow network fills the processor by itself."""
TRIES = 3
FEW = 48
"""Evaluations below which points go one by one: a trial would cost more than it saves."""
CLEARLY_FASTER = 0.9
"""Share of the time of one by one above which points are evaluated one by one."""
WORTH_VMAP = 2_000
"""Evaluations in one process from which on losses of outputs are computed by `vmap`, for which torch loads more."""
WORTH_THE_KERNEL = 4_000
"""Evaluations in one process from which on the kernel in C is worth compiling; a compiled one is always tried."""
AGREE = {"torch.float64": 1e-12, "torch.float32": 1e-6}
"""Largest relative difference of losses, by the type of the moved tensors."""


@dataclass(frozen=True)
class Choice:
    """The outcome of the trial."""

    way: Together | None
    """None evaluates one by one."""
    reason: str
    microseconds: float = float("nan")
    """Of an evaluation this way."""
    one_by_one_us: float = float("nan")
    final: bool = True
    """Whether it holds for a call with more points, too."""

    def holds_for(self, planned: int) -> bool:
        """Whether it can be kept for a call that takes so many evaluations."""
        return self.final or 0 < planned < FEW

    @property
    def points_at_once(self) -> int:
        """Points that are evaluated together."""
        return self.way.at_once if self.way else 1

    @property
    def words(self) -> str:
        """The choice as results store it."""
        if self.way is None:
            return f"one by one ({self.reason})"
        return f"{self.way.name}, {self.way.at_once} points at once"


def _ways(twin: Twin, at_once: int | None, planned: int, seconds: float) -> Iterator[Callable[[], Together]]:
    """Ways that may work, the most promising first."""
    on_gpu = twin.device.type == "cuda"
    num = at_once or (AT_ONCE_ON_GPU if on_gpu else AT_ONCE)
    chain = recognised(twin.copy, twin.filters)
    if chain is not None:
        vmapped = planned + num_evaluated() >= WORTH_VMAP
        served = chain.rectifies and twin.device.type == "cpu" and planned > 0
        if served and (planned + num_evaluated() >= WORTH_THE_KERNEL or is_built(twin.targets[0].dtype)):
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
) -> Choice:
    """Try to evaluate points together, and keep the first way that is correct and clearly faster.

    Args:
        twin: The network at work.
        known: Distances along one direction whose loss is known already, and the loss.
        one_by_one: Loss at a distance, evaluated alone.
        together: Losses at distances in some way.
        distances: Where the ways are compared; of a slow network only the first.
        at_once: How many points together, as the user asked; None leaves it to the trial.
        planned: Evaluations that the whole call may take.
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
    for make in _ways(twin, at_once, planned, seconds):
        found = _tried(make, together, compared, agree, CLEARLY_FASTER * seconds)
        if isinstance(found, str):
            reason = found
            continue
        way, each = found
        if at_once is not None or each < CLEARLY_FASTER * seconds:
            return Choice(way, "measured", 1e6 * each, us)
        reason = "faster here"
    return Choice(None, reason, us, us)


def _tried(
    make: Callable[[], Together],
    together: Callable[[Together, Float[np.ndarray, " points"]], np.ndarray],
    compared: Sequence[tuple[float, float]],
    agree: float,
    enough: float,
) -> tuple[Together, float] | str:
    """Seconds an evaluation takes in some way; or why it does not serve."""
    plain = np.array([loss for _, loss in compared])
    losses = np.full(len(plain), np.nan)
    try:
        way = make()
        given, seconds = np.array([distance for distance, _ in compared]), float("inf")
        for turn in range(TRIES):  # the first time may have to warm up, and other programs may disturb
            # What is fast enough with the few points that are compared is so with all that go together.
            distances = given if turn == 0 else np.resize(given, max(way.at_once, len(plain)))
            began = time.perf_counter()
            losses = together(way, distances)
            seconds = min(seconds, (time.perf_counter() - began) / len(distances))
            if seconds < enough:
                break
    except InputError:
        raise
    except KernelError as error:
        return f"the kernel cannot be built: {error}"
    except Exception as error:  # every way in which a network can refuse to be batched
        return f"points cannot be evaluated together: {type(error).__name__}"
    if not _same(losses[: len(plain)], plain, agree):
        return "losses evaluated together differ"
    return way, seconds


def _same(found: Float[np.ndarray, " points"], plain: Float[np.ndarray, " points"], agree: float) -> bool:
    """Whether losses agree with those evaluated one by one; what is not finite must be the same."""
    finite = np.isfinite(plain)
    if not np.array_equal(found[~finite], plain[~finite], equal_nan=True):
        return False
    known, given = plain[finite], found[finite]
    scale = np.maximum(np.abs(known), 1e-3 * np.abs(known).max(initial=0.0))
    return bool((np.abs(given - known) <= agree * np.maximum(scale, 1e-12)).all())
