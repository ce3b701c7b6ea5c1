"""Checks that configuration fields are in range, with a one-line error for the first that is not."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from basinscope.errors import InputError


def check_ranges(
    name: str,
    config: Any,
    *,
    at_least: Mapping[str, float],
    at_most: Mapping[str, float],
    positive: Iterable[str] = (),
) -> None:
    """Reject numbers that are not finite and fields outside their bounds.

    Args:
        name: Name of the experiment in messages.
        config: A configuration dataclass.
        at_least: Smallest value of fields.
        at_most: Largest value of fields.
        positive: Fields that must be above 0.

    Raises:
        InputError: A field is out of range; the message names field, value and bound.
    """
    for field, value in vars(config).items():
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise InputError(f"{name}.{field} = {value}: must be finite")
    for field, bound in at_least.items():
        if getattr(config, field) < bound:
            raise InputError(f"{name}.{field} = {getattr(config, field)}: must be at least {bound}")
    for field, bound in at_most.items():
        if getattr(config, field) > bound:
            raise InputError(f"{name}.{field} = {getattr(config, field)}: must be at most {bound}")
    for field in positive:
        if not getattr(config, field) > 0:
            raise InputError(f"{name}.{field} = {getattr(config, field)}: must be above 0")


def check_data_seed(name: str, data_seed: int | None) -> None:
    """Reject a seed that numpy's legacy generator does not accept.

    Raises:
        InputError: It is out of range.
    """
    if data_seed is not None and not 0 <= data_seed < 2**32:
        raise InputError(f"{name}.data_seed = {data_seed}: must be between 0 and 2³² − 1")


def check_poisons(name: str, poisons: tuple[float, ...]) -> None:
    """Reject poison factors that do not rise from 0 or that share a name.

    Raises:
        InputError: They do not rise, or agree in their first six digits.
    """
    rising = all(a < b for a, b in itertools.pairwise(poisons))
    if len(poisons) < 2 or poisons[0] != 0 or not rising:
        raise InputError(f"{name}.poisons = {poisons}: must rise from 0, with at least two factors")
    if len({f"{poison:g}" for poison in poisons}) < len(poisons):
        raise InputError(f"{name}.poisons = {poisons}: must differ in their first six digits")


def check_warmup(name: str, warmup: float) -> None:
    """Reject a warm-up fraction outside [0, 1).

    Raises:
        InputError: It is below 0, or 1 or above.
    """
    if not 0 <= warmup < 1:
        raise InputError(f"{name}.warmup = {warmup}: must be at least 0 and below 1")
