"""Command-line options of probes; defaults, types and help are read from the function's signature and docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

OF_THE_VERB: Any = object()
"""Placeholder for the default in the function's signature."""
_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True)
class Option:
    """One parameter of a probe that a survey offers."""

    name: str
    """Name of the parameter."""
    flag: str
    """Command-line flag; probes may share one."""
    default: Any = OF_THE_VERB
    """Set only if a survey's default differs from the function's."""
    least: float | None = None
    """Smallest allowed value."""
    above: float | None = None
    """Value that it must exceed, if any."""
    above_loss: bool = False
    """Whether it must exceed the loss of every measured network."""
    instead: str = ""
    """Option that it replaces; only one of the two can be given."""


def parameters(verb: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a probe's function by name, without `progress`.

    Example:
        >>> parameters(slice1d)["resolution"].default
        41
    """
    all_parameters = inspect.signature(verb).parameters
    return {n: p for n, p in all_parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY and n != "progress"}


def type_of(parameter: inspect.Parameter) -> type:
    """Type of a parameter on the command line: int, float, bool or str."""
    annotation = parameter.annotation
    words = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    named = _TYPES.get(words.replace("| None", "").strip())
    default = parameter.default
    return named or (type(default) if type(default) in _TYPES.values() else str)


def explanations(verb: Callable[..., Any]) -> dict[str, str]:
    """Help text of each parameter, from `Args:` in the function's docstring."""
    lines = inspect.cleandoc(verb.__doc__ or "").splitlines()
    if "Args:" not in lines:
        return {}
    texts: dict[str, str] = {}
    name = ""
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        if head := re.match(r" {4}(\w+): (.*)", line):
            name = head[1]
            texts[name] = head[2]
        elif name and line.strip():
            texts[name] += f" {line.strip()}"
    return texts
