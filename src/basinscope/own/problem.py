"""A problem file: a small Python file of the user's that says what model, loss and batches are."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basinscope.errors import InputError
from basinscope.memory import is_out_of_memory
from basinscope.runs import atomic

PARTS = ("model", "loss_fn", "batches")
OPTIONS = ("parameters", "normalization", "one_dim", "unit", "metrics", "points_at_once")
"""What a problem may say besides, as `Objective` takes it."""


@dataclass(frozen=True)
class Problem:
    """What a problem file defines."""

    path: Path
    checksum: str
    """SHA-256 of the file."""
    parts: Mapping[str, Any]
    """`model`, `loss_fn`, `batches`, and options of `Objective`."""
    name: str = ""
    """Which of the file's functions, tuples or dictionaries; empty where none was named."""


def load_problem(address: str) -> Problem:
    """Run a problem file and take what it defines.

    The file either holds `model`, `loss_fn` and `batches` as they are, or a function that returns them as a tuple or
    as a dictionary; a dictionary, or names in the file, may also hold `parameters`, `normalization`, `one_dim`, `unit`.

    Args:
        address: `FILE.py`, or `FILE.py:NAME` for a function, tuple or dictionary of another name than `problem`.

    Raises:
        InputError: The file is not there, fails, or lacks a part.
    """
    place, _, name = address.partition(":") if ".py:" in address else (address, "", "")
    path = Path(place)
    if not path.is_file():
        raise InputError(f"{path}: is not there; name a Python file that defines {', '.join(PARTS)}")
    module = _imported(path)
    if name and not hasattr(module, name):
        raise InputError(f"{path} defines no {name}")
    found = getattr(module, name) if name else getattr(module, "problem", None)
    if callable(found):
        found = _called(found, path, name or "problem")
    if found is None:
        found = {key: getattr(module, key) for key in (*PARTS, *OPTIONS) if hasattr(module, key)}
    parts = dict(_named(found, path, name or "problem"))
    parts["loss_fn"] = _guarded(parts["loss_fn"], path)
    return Problem(path, atomic.sha256(path), parts, name)


def _guarded(loss_fn: Any, path: Path) -> Any:
    """Turn an error in a loss function, or in the model that it calls, into one line that names the place."""
    if not callable(loss_fn):
        return loss_fn

    def guarded(model: Any, batch: Any) -> Any:
        try:
            return loss_fn(model, batch)
        except InputError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            words = str(error).strip().splitlines() or [""]
            raise InputError(
                f"{path}: loss_fn fails{_line_of(error, path)}: {type(error).__name__}: {words[0]}"
            ) from error

    return guarded


def _imported(path: Path) -> Any:
    """Import a file by its place; what lies beside it can be imported from within."""
    spec = importlib.util.spec_from_file_location(f"_basinscope_problem_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} fails{_line_of(error, path)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(beside)
    return module


def _called(function: Any, path: Path, name: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise InputError(f"{path}: {name}() fails{_line_of(error, path)}: {type(error).__name__}: {error}") from error


def _line_of(error: Exception, path: Path) -> str:
    """The line of the file at which an error arose."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f" at line {error.lineno}"
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path or f.filename == str(path)
    ]
    return f" at line {frames[-1].lineno}" if frames else ""


def _named(found: Any, path: Path, name: str) -> Mapping[str, Any]:
    if isinstance(found, tuple):
        if len(found) != len(PARTS):
            raise InputError(f"{path}: {name} gives {len(found)} values: give {', '.join(PARTS)}, or a dictionary")
        found = dict(zip(PARTS, found, strict=True))
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: {name} gives a {type(found).__name__}: give {', '.join(PARTS)}, or a dictionary")
    missing = [part for part in PARTS if part not in found]
    if missing:
        raise InputError(f"{path} defines no {' and no '.join(missing)}; it must define {', '.join(PARTS)}")
    unknown = [key for key in found if key not in (*PARTS, *OPTIONS)]
    if unknown:
        raise InputError(f"{path}: {name} gives {', '.join(unknown)}; known are {', '.join((*PARTS, *OPTIONS))}")
    return found
