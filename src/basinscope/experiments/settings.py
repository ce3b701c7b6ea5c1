"""Changes fields of a frozen configuration by name and text, for the command line."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from basinscope.errors import InputError

C = TypeVar("C")


def nearest(word: str, known: Iterable[str], what: str) -> str:
    """Message for an unknown word, with the closest known one or all choices."""
    choices = list(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(choices)}"
    return f"no {what} {word!r}; {hint}"


def change(config: C, name: str, settings: Mapping[str, str]) -> C:
    """Return a configuration with some fields changed together.

    Args:
        config: A frozen dataclass.
        name: Its name in messages.
        settings: The new value of each field, as text: a number, a word, `none`, or numbers joined by commas for a
            tuple.

    Raises:
        InputError: A field does not exist, a text has the wrong type, or a value is out of range.
    """
    assert dataclasses.is_dataclass(config)
    assert not isinstance(config, type)
    known = {field.name for field in dataclasses.fields(config)}
    hints = {name: hint for name, hint in typing.get_type_hints(type(config)).items() if name in known}
    for field in settings:
        if field not in hints:
            raise InputError(nearest(field, hints, f"{name} field"))
    values = {field: _parse(text, hints[field], f"{name}.{field}") for field, text in settings.items()}
    return dataclasses.replace(config, **values)


def _parse(text: str, wanted: Any, where: str) -> Any:
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if text.lower() == "none" and type(None) in inner:
            return None
        wanted = next(option for option in inner if option is not type(None))
        return _parse(text, wanted, where)
    if origin is tuple:
        return tuple(_parse(part.strip(), inner[0], where) for part in text.strip("()").split(",") if part.strip())
    if origin is typing.Literal:
        if text not in inner:
            raise InputError(f"{where} = {text!r}: choose from {', '.join(map(str, inner))}")
        return text
    if wanted is bool:
        if text.lower() not in ("true", "false"):
            raise InputError(f"{where} = {text!r}: give true or false")
        return text.lower() == "true"
    try:
        return wanted(text.replace("_", "")) if wanted in (int, float) else wanted(text)
    except ValueError as error:
        kind = {"int": "a whole number", "float": "a number"}.get(wanted.__name__, wanted.__name__)
        raise InputError(f"{where} = {text!r}: give {kind}") from error
