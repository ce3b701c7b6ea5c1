"""Kinds of results and their variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Variable:
    """One array of a result."""

    dims: tuple[str, ...]
    units: str
    meaning: str
    flags: Mapping[int, str] = field(default_factory=dict)
    """Meanings of the codes of a coded variable, following the CF conventions."""
    optional: bool = False
    """Whether a result may lack it."""


@dataclass(frozen=True)
class Kind:
    """One kind of result."""

    name: str
    version: int
    variables: Mapping[str, Variable]
