"""Checks arguments against their annotations, so that a wrong type is named before anything is computed."""

from __future__ import annotations

import functools
import inspect
import math
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from pathlib import Path, PurePath
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from basinscope.errors import SHOWN, InputError, kind_of

Verb = TypeVar("Verb", bound=Callable[..., Any])
_MISFIT: Any = object()
"""Stands for a value that an annotation does not allow."""
_CALLABLE: Any = get_origin(Callable[..., Any])
_KINDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a string",
    Path: "a path",
    Mapping: "a dictionary",
    _CALLABLE: "a function",
}
_MANY = {int: "whole numbers", float: "numbers", str: "strings"}
_NUMBERS = ("", "one", "two", "three")


def checks_settings(verb: Verb) -> Verb:
    """Decorate a function so that arguments of another type than annotated raise an `InputError`.

    Checked are numbers, strings, booleans, paths, choices (`Literal`), arrays of numbers, and lists, tuples and unions
    of these. A whole number is neither a boolean nor a float; every number is finite. NumPy's numbers and tensors
    without axes become Python's. Other annotations are left to the function.

    Example:
        >>> @checks_settings
        ... def slice1d(*, resolution: int = 41) -> int:
        ...     return resolution
        >>> slice1d(resolution="41")
        Traceback (most recent call last):
        basinscope.errors.InputError: slice1d: resolution = '41': must be a whole number
    """

    @functools.wraps(verb)
    def called(*args: Any, **kwargs: Any) -> Any:
        positional, _ = _settings(verb)
        given = [
            check_setting(verb, name, value) if name else value
            for name, value in zip((*positional, *[""] * len(args)), args, strict=False)
        ]
        return verb(*given, **{name: check_setting(verb, name, value) for name, value in kwargs.items()})

    return cast("Verb", called)


def check_setting(verb: Callable[..., Any], name: str, value: Any) -> Any:
    """Check one argument of a function.

    Returns:
        The value; numbers of NumPy and of tensors as Python's.

    Raises:
        InputError: Its type is not the annotated one.
    """
    verb = inspect.unwrap(verb)
    hint = _settings(verb)[1].get(name, Any)
    taken = _taken(value, hint)
    if taken is _MISFIT:
        owner = verb.__qualname__.removesuffix(".__init__").rpartition(".")[2]
        raise InputError(f"{owner}: {_shown(name, value)}: {_rule(value, hint)}")
    return taken


def checked_hints(verb: Callable[..., Any]) -> dict[str, Any]:
    """Annotations of the arguments that `checks_settings` checks, by name."""
    return {name: hint for name, hint in _settings(inspect.unwrap(verb))[1].items() if not _is_open(hint)}


@functools.cache
def _settings(verb: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names of the positional arguments, and annotations by name."""
    parameters = inspect.signature(verb).parameters.values()
    single = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    hints = get_type_hints(verb)
    positional = tuple(p.name for p in single if p.kind is not p.KEYWORD_ONLY)
    return positional, {p.name: hints[p.name] for p in single if p.name in hints}


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _is_array(hint: Any) -> bool:
    """Whether an annotation is one of jaxtyping's."""
    return hasattr(hint, "array_type") and hasattr(hint, "dim_str")


@functools.cache
def _is_open(hint: Any) -> bool:
    """Whether an annotation allows values that are not checked here: those of other classes, or of any."""
    if _is_union(hint):
        return any(_is_open(part) for part in get_args(hint) if get_origin(part) is not _CALLABLE)
    known = hint in _KINDS or hint is type(None) or _is_array(hint)
    return not (known or get_origin(hint) in (Literal, Sequence, tuple, Mapping))


def _taken(value: Any, hint: Any) -> Any:
    """A value as its annotation asks; `_MISFIT` if it does not allow it."""
    origin, parts = get_origin(hint), get_args(hint)
    if _is_union(hint):
        return next((found for part in parts if (found := _alone(value, part)) is not _MISFIT), _MISFIT)
    if _is_open(hint):
        return value
    if hint in (int, float, bool):
        return _number(value, hint)
    if _is_array(hint):
        return _array(value, len(hint.dim_str.split()))
    if origin in (Sequence, tuple):
        return _several(value, origin, parts)
    if origin is Literal:
        fits = isinstance(value, str | int) and value in parts
    else:
        fits = isinstance(value, PurePath if hint is Path else origin or hint)
    return value if fits else _MISFIT


def _alone(value: Any, hint: Any) -> Any:
    """A value as one part of a union asks."""
    if get_origin(hint) is _CALLABLE:
        return value if callable(value) else _MISFIT
    return _taken(value, hint)


def _is_tensor(value: Any) -> bool:
    """Whether a value is a tensor; figures do without torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _number(value: Any, kind: type) -> Any:
    """A number or truth value as Python's; `_MISFIT` if it is none, or not finite."""
    if (isinstance(value, np.generic | np.ndarray) or _is_tensor(value)) and value.ndim == 0:
        value = value.item()
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else _MISFIT
    if kind is int:
        return value if isinstance(value, int) else _MISFIT
    return value if isinstance(value, int | float) and math.isfinite(value) else _MISFIT


def _array(value: Any, ndim: int) -> Any:
    """Finite numbers along some axes, as a tensor; `_MISFIT` if they are none."""
    import torch

    if not isinstance(value, torch.Tensor):
        try:
            numbers = np.asarray(value)
        except (ValueError, TypeError):  # ragged, or objects of other kinds
            return _MISFIT
        if numbers.dtype.kind not in "iuf":
            return _MISFIT
        value = torch.from_numpy(np.array(numbers, dtype=np.float64))
    fits = value.ndim == ndim and value.numel() and not value.is_complex() and bool(value.isfinite().all())
    return value.detach() if fits else _MISFIT


def _several(value: Any, origin: Any, parts: tuple[Any, ...]) -> Any:
    """A list or tuple, each of its values as asked; `_MISFIT` if it is none."""
    single = isinstance(value, str | bytes | Mapping | Set) or getattr(value, "ndim", 1) == 0
    if single or not isinstance(value, Iterable):
        return _MISFIT
    if origin is Sequence and _is_open(parts[0]):
        return value
    values = list(value)
    if origin is Sequence or parts[-1] is Ellipsis:
        taken = [_taken(one, parts[0]) for one in values]
    elif len(values) != len(parts):
        return _MISFIT
    else:
        taken = [_taken(one, part) for one, part in zip(values, parts, strict=True)]
    if any(one is _MISFIT for one in taken):
        return _MISFIT
    return tuple(taken) if origin is tuple else taken


def _shown(name: str, value: Any) -> str:
    """An argument with its value, or with the type of one whose text is long."""
    parts = value if isinstance(value, list | tuple) else [value]
    if (
        all(isinstance(one, str | int | float | range | np.generic | None) for one in parts)
        and len(repr(value)) <= SHOWN
    ):
        return f"{name} = {value!r}"
    inner = {type(one).__name__ for one in parts} if parts is value else set()
    return f"{name} is {kind_of(value)}{f' of {inner.pop()}' if len(inner) == 1 else ''}"


def _rule(value: Any, hint: Any) -> str:
    """What an argument must be."""
    parts = [part for part in get_args(hint) if part is not type(None)] if _is_union(hint) else [hint]
    if float in parts and isinstance(value, float | np.floating) and not math.isfinite(value):
        return "must be finite"
    if len(parts) == 1 and get_origin(parts[0]) is Literal:
        return f"choose from {', '.join(map(str, get_args(parts[0])))}"
    told = any(get_origin(part) is Literal or part is Path for part in parts)
    words = list(dict.fromkeys(_words(part) for part in parts if not (part is str and told)))
    return f"must be {', '.join(words[:-1])}{' or ' if len(words) > 1 else ''}{words[-1]}"


def _words(hint: Any) -> str:
    """An annotation in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}" if len(parts) > 1 else repr(next(iter(parts)))
    if origin is tuple and parts[-1] is not Ellipsis:
        return f"{_NUMBERS[len(parts)]} {_MANY.get(parts[0], 'values')}"
    if origin in (Sequence, tuple):
        return f"a list of {_MANY[parts[0]]}" if parts[0] in _MANY else "a list"
    return _KINDS.get(hint) or _KINDS.get(origin) or "a list of finite numbers"
