"""Conditions under which losses and derivatives are computed, so that both are of one function.

Verbs may be called inside `torch.autocast`, `torch.no_grad` or `torch.inference_mode`. Autocast applies to the user's
functions alone, not to the package's own arithmetic, and without its cache, which would keep casts of weights that have
since been overwritten. The fast path of transformer layers, which computes padded positions differently and has no
gradient, is off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import torch

from basinscope.landscape.random_state import undisturbed


class Conditions:
    """Autocast settings around the current measurement."""

    def __init__(self) -> None:
        self.autocast: tuple[tuple[str, torch.dtype], ...] = ()

    @contextlib.contextmanager
    def quiet(self, devices: Iterable[torch.device]) -> Iterator[None]:
        """Context for a measurement: random states are restored on exit, and only `applied` uses autocast."""
        devices = list(devices)
        before, self.autocast = self.autocast, autocast_around(devices)
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with contextlib.ExitStack() as stack:
                for kind, _ in self.autocast:
                    stack.enter_context(torch.autocast(kind, enabled=False))
                stack.enter_context(undisturbed(devices))
                stack.enter_context(torch.inference_mode(False))
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            self.autocast = before

    @contextlib.contextmanager
    def _casting(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for kind, dtype in self.autocast:
                stack.enter_context(torch.autocast(kind, dtype=dtype, cache_enabled=False))
            yield

    def applied(self) -> contextlib.AbstractContextManager[None]:
        """Context in which the user's functions are called."""
        return self._casting() if self.autocast else contextlib.nullcontext()


def autocast_around(devices: Iterable[torch.device]) -> tuple[tuple[str, torch.dtype], ...]:
    """Device types for which autocast is active here, with its dtype."""
    kinds = {"cpu", *(device.type for device in devices)}
    return tuple((kind, torch.get_autocast_dtype(kind)) for kind in sorted(kinds) if torch.is_autocast_enabled(kind))
