"""Options of a probe; defaults, types and explanations are read from the verb's signature and docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OF_THE_VERB: Any = object()
"""Stands for the default in the verb's signature."""
_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True)
class Option:
    """One parameter of a verb that a survey offers."""

    name: str
    """Of the parameter."""
    flag: str
    """On the command line; probes may share one."""
    default: Any = OF_THE_VERB
    """Only where a survey asks for something else than the verb does by itself."""
    least: float | None = None
    """Smallest value."""
    above: float | None = None
    """Value that it must exceed."""
    above_loss: bool = False
    """Whether it must exceed the loss of every network that is measured."""
    instead: str = ""
    """Another option that it replaces; only one of the two can be given."""


def parameters(verb: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a verb by name, without `progress`.

    Example:
        >>> parameters(slice1d)["resolution"].default
        41
    """
    found = inspect.signature(verb).parameters
    return {n: p for n, p in found.items() if p.kind is inspect.Parameter.KEYWORD_ONLY and n != "progress"}


def type_of(parameter: inspect.Parameter) -> type:
    """Type of a parameter's values as text on a command line: int, float, bool or str."""
    annotation = parameter.annotation
    words = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    named = _TYPES.get(words.replace("| None", "").strip())
    default = parameter.default
    return named or (type(default) if type(default) in _TYPES.values() else str)


def explanations(verb: Callable[..., Any]) -> dict[str, str]:
    """What a verb's docstring says of each parameter, below `Args:`."""
    lines = inspect.cleandoc(verb.__doc__ or "").splitlines()
    if "Args:" not in lines:
        return {}
    found: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        if head := re.match(r" {4}(\w+): (.*)", line):
            name = head[1]
            found[name] = head[2]
        elif name and line.strip():
            found[name] += f" {line.strip()}"
    return found
