"""Reads plain values and byte arrays from pickles without unpickling them.

`pickletools` splits a pickle into opcodes without executing anything. This module interprets those that dictionaries,
lists, tuples, numbers, strings and numpy arrays of bytes need. The functions and classes that a pickle names are
compared with a fixed list, never imported or called; any other opcode or name is refused.

References:
    Python's `pickletools`, which describes every opcode.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from basinscope.errors import InputError, kind_of

PROTOCOLS = (2, 3, 4, 5)
_MAX_AXES = 32
_INT_BITS = 63
_SHOWN = 60
"""Longest excerpt of a file in a message, in characters."""


@dataclass(eq=False)
class ByteArray:
    """A stored uint8 array; its elements stay in the pickle's own string until `values` is called."""

    shape: tuple[int, ...] = ()
    """Lengths of the axes, each at least 1; empty until the pickle has filled the array."""
    content: str | bytes | bytearray = field(default=b"", repr=False)
    """One byte or character for each element; Python 2 wrote text."""
    fortran: bool = False
    """Whether the first axis varies fastest."""

    def values(self) -> np.ndarray:
        """Elements as uint8, in `shape`; read-only where the memory is shared with the pickle.

        Raises:
            InputError: The pickle did not fill the array, or a character is not a byte.
        """
        if not self.shape:
            raise InputError("holds an array without content")
        try:
            content = self.content.encode("latin-1") if isinstance(self.content, str) else self.content
        except UnicodeEncodeError as error:
            raise InputError("holds an array whose content is text, not bytes") from error
        return np.frombuffer(content, dtype=np.uint8).reshape(self.shape, order="F" if self.fortran else "C")


@dataclass(frozen=True)
class _Name:
    """A function or class named by a pickle, and the type uint8."""

    name: str


_UINT8 = _Name("the type uint8")
_Frames = list[list[object]]
"""Open stacks of the pickle machine; each MARK opens one."""


def read_plain(content: bytes) -> object:
    r"""Read a pickle of plain values, as Python 2, Python 3 and numpy write it in protocols 2 to 5.

    Args:
        content: The whole pickle.

    Returns:
        Dictionaries (keys are strings), lists, tuples, numbers, strings, `None`, and `ByteArray` for numpy arrays of
        uint8. Python 2 did not distinguish bytes from text, so any byte string may be a `str` (Latin-1) or `bytes`.

    Raises:
        InputError: It is damaged or contains anything else. The message begins with a verb whose subject is the file.

    Example:
        >>> read_plain(b"\x80\x02}U\x06labels]K\x07as.")
        {'labels': [7]}
    """
    frames: _Frames = [[]]
    memo: dict[int, object] = {}
    try:
        for opcode, argument in _opcodes(content):
            stack = frames[-1]
            if opcode in _LITERALS:
                stack.append(_literal(argument))
            elif opcode in _FRESH:
                stack.append(_FRESH[opcode]())
            elif opcode in _MEMORIZE:
                memo[len(memo) if argument is None else argument] = stack[-1]
            elif opcode in _RECALL:
                stack.append(memo[argument])
            elif opcode in _COMBINE:
                _COMBINE[opcode](frames)
            elif opcode == "GLOBAL":
                stack.append(_named(argument.replace(" ", ".")))
            elif opcode not in _SKIPPED:
                raise InputError(f"holds the pickle opcode {opcode}, which plain data do not need")
        return frames[-1][-1]
    except (IndexError, KeyError) as error:
        raise InputError("is a damaged pickle: an opcode refers to a value that is not there") from error


def _shown(text: str) -> str:
    """A short excerpt of text from a file, in one line of ASCII."""
    return ascii(text[:_SHOWN])[1:-1] + "..." * (len(text) > _SHOWN)


def _opcodes(content: bytes) -> Iterator[tuple[str, Any]]:
    """Names and arguments of the opcodes up to STOP."""
    if content[:1] != b"\x80" or content[1:2] not in [bytes([protocol]) for protocol in PROTOCOLS]:
        raise InputError(f"is not a pickle of protocol {PROTOCOLS[0]} to {PROTOCOLS[-1]}")
    try:
        for opcode, argument, _ in pickletools.genops(content):
            yield opcode.name, argument
    except (ValueError, OverflowError, DeprecationWarning) as error:  # the warning, where Python turns it into an error
        raise InputError(f"is a damaged or truncated pickle ({_shown(str(error))})") from error


def _literal(value: object) -> object:
    # Huge integers could not even be printed.
    if isinstance(value, int) and value.bit_length() > _INT_BITS:
        raise InputError(f"holds an integer of {value.bit_length():,} bits")
    return value


def _named(name: str) -> _Name:
    if name not in _NAMES:
        raise InputError(f"refers to '{_shown(name)}', which plain data do not need")
    return _Name(name)


def _close(frames: _Frames) -> list[object]:
    """Values since the last MARK, which is removed."""
    if len(frames) == 1:
        raise IndexError
    return frames.pop()


def _collect(num: int | None) -> Callable[[_Frames], None]:
    """Handler that makes a tuple of the last `num` values, or of all since the last MARK."""

    def collect(frames: _Frames) -> None:
        values = _close(frames) if num is None else [frames[-1].pop() for _ in range(num)][::-1]
        frames[-1].append(tuple(values))

    return collect


def _list(frames: _Frames) -> None:
    values = _close(frames)
    frames[-1].append(values)


def _extend(frames: _Frames, values: list[object]) -> None:
    target = frames[-1][-1]
    if not isinstance(target, list):
        raise InputError(f"is a damaged pickle: it appends to {kind_of(target)}")
    target.extend(values)


def _update(frames: _Frames, values: list[object]) -> None:
    target = frames[-1][-1]
    if not isinstance(target, dict) or len(values) % 2:
        raise InputError("is a damaged pickle: it stores a key without a value, or not in a dictionary")
    for key, value in zip(values[::2], values[1::2], strict=True):
        # Nested tuples as keys would be hashed recursively.
        if not isinstance(key, str | bytes):
            raise InputError(f"holds a dictionary with a key of type {type(key).__name__}, not a string")
        target[key] = value


def _dict(frames: _Frames) -> None:
    values = _close(frames)
    frames[-1].append({})
    _update(frames, values)


def _set_item(frames: _Frames) -> None:
    value, key = frames[-1].pop(), frames[-1].pop()
    _update(frames, [key, value])


def _stack_name(frames: _Frames) -> None:
    name, module = frames[-1].pop(), frames[-1].pop()
    if not isinstance(module, str) or not isinstance(name, str):
        raise InputError("is a damaged pickle: it refers to a function or class whose name is not text")
    frames[-1].append(_named(f"{module}.{name}"))


def _reduce(frames: _Frames) -> None:
    arguments, called = frames[-1].pop(), frames[-1].pop()
    if not isinstance(called, _Name) or called.name not in _CALLS or not isinstance(arguments, tuple):
        raise InputError("is a damaged pickle: it calls what is not a function")
    frames[-1].append(_CALLS[called.name](arguments))


def _build(frames: _Frames) -> None:
    """Complete an array or the type uint8."""
    state, built = frames[-1].pop(), frames[-1][-1]
    match built, state:
        case ByteArray(shape=()), (1, tuple() as shape, dtype, 0 | 1 as fortran, content) if dtype is _UINT8:
            _fill(built, shape, content, bool(fortran))
        case _Name(), (int(), "|", None, None, None, -1, -1, int()) if built is _UINT8:
            pass
        case _:
            raise InputError("holds an object that is neither plain data nor an array of uint8")


def _fill(array: ByteArray, shape: tuple[object, ...], content: object, fortran: bool) -> None:
    """Give an array its content if the sizes agree; nothing is allocated."""
    if not isinstance(content, str | bytes | bytearray):
        raise InputError(f"holds an array whose content is {kind_of(content)}, not bytes")
    lengths = tuple(length for length in shape if isinstance(length, int))
    if not 0 < len(lengths) == len(shape) <= _MAX_AXES:
        raise InputError("holds an array whose shape is not a few integers")
    if min(lengths) < 1 or math.prod(lengths) != len(content):
        raise InputError(f"holds an array of shape {_shown(str(lengths))} with {len(content):,} bytes of content")
    array.shape, array.content, array.fortran = lengths, content, fortran


def _call_encode(arguments: tuple[object, ...]) -> object:
    """Python 3 writes bytes like this in protocol 2: they stay text, as those of Python 2."""
    match arguments:
        case (str() as text, "latin1"):
            return text
    raise InputError("calls _codecs.encode, but not on text in Latin-1")


def _call_bytes(arguments: tuple[object, ...]) -> object:
    """Python 3 writes empty bytes like this in protocol 2."""
    if arguments:
        raise InputError("calls bytes with arguments")
    return b""


def _call_reconstruct(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (_Name("numpy.ndarray"), (0,), "b" | b"b"):
            return ByteArray()
    raise InputError("calls numpy's _reconstruct, but not for an array")


def _call_dtype(arguments: tuple[object, ...]) -> object:
    match arguments:
        case ("u1", 0, 1):
            return _UINT8
        case (str() as kind, *_):
            raise InputError(f"holds an array of type '{_shown(kind)}', not uint8 ('u1')")
    raise InputError("calls numpy.dtype, but not with the name of a type")


def _call_frombuffer(arguments: tuple[object, ...]) -> object:
    match arguments:
        case (content, dtype, tuple() as shape, "C" | "F" as order) if dtype is _UINT8:
            array = ByteArray()
            _fill(array, shape, content, order == "F")
            return array
    raise InputError("calls numpy's _frombuffer, but not for a contiguous array of uint8")


_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)
_FRESH: Mapping[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_MEMORIZE = frozenset({"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"})
_RECALL = frozenset({"GET", "BINGET", "LONG_BINGET"})
_SKIPPED = frozenset({"PROTO", "FRAME", "STOP"})
_COMBINE: Mapping[str, Callable[[_Frames], None]] = {
    "MARK": lambda frames: frames.append([]),
    "TUPLE": _collect(None),
    "TUPLE1": _collect(1),
    "TUPLE2": _collect(2),
    "TUPLE3": _collect(3),
    "LIST": _list,
    "DICT": _dict,
    "APPEND": lambda frames: _extend(frames, [frames[-1].pop()]),
    "APPENDS": lambda frames: _extend(frames, _close(frames)),
    "SETITEM": _set_item,
    "SETITEMS": lambda frames: _update(frames, _close(frames)),
    "STACK_GLOBAL": _stack_name,
    "REDUCE": _reduce,
    "BUILD": _build,
}
_CALLS: Mapping[str, Callable[[tuple[object, ...]], object]] = {
    "_codecs.encode": _call_encode,
    "__builtin__.bytes": _call_bytes,
    "builtins.bytes": _call_bytes,
    "numpy.core.multiarray._reconstruct": _call_reconstruct,
    "numpy._core.multiarray._reconstruct": _call_reconstruct,
    "numpy.dtype": _call_dtype,
    "numpy.core.numeric._frombuffer": _call_frombuffer,
    "numpy._core.numeric._frombuffer": _call_frombuffer,
}
"""Functions that are recognised, by name, and what stands in for each."""
_NAMES = frozenset({*_CALLS, "numpy.ndarray"})
