"""Loads problem files: Python files of the user that define model, loss and batches."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from basinscope.errors import InputError, kind_of
from basinscope.memory import is_out_of_memory
from basinscope.runs import atomic

PARTS = ("model", "loss_fn", "batches")
OPTIONS = (
    "parameters",
    "normalization",
    "one_dim",
    "unit",
    "metrics",
    "points_at_once",
    "count",
    "precision",
    "masks",
    "instance",
)
"""Optional definitions, passed on to `Objective`."""


@dataclass(frozen=True)
class Problem:
    """What a problem file defines."""

    path: Path
    checksum: str
    """SHA-256 of the file."""
    parts: Mapping[str, Any]
    """`model`, `loss_fn`, `batches`, and options of `Objective`."""
    name: str = ""
    """The chosen function, tuple or dictionary in the file; empty if none was named."""


def load_problem(address: str) -> Problem:
    """Run a problem file and return what it defines.

    The file defines `model`, `loss_fn` and `batches` directly, or a function that returns them as a tuple or a
    dictionary. The file or the dictionary may also define `parameters`, `normalization`, `one_dim`, `unit`, `metrics`,
    `points_at_once`, `count`, `precision`, `masks` and `instance`.

    Args:
        address: `FILE.py`, or `FILE.py:NAME` for a function, tuple or dictionary not called `problem`.

    Raises:
        InputError: The file is missing, fails, or lacks a part.
    """
    file, _, name = address.partition(":") if ".py:" in address else (address, "", "")
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path}: not found; name a Python file that defines {', '.join(PARTS)}")
    module = _imported(path)
    if name and not hasattr(module, name):
        raise InputError(f"{path} defines no {name}")
    definition = getattr(module, name) if name else getattr(module, "problem", None)
    if callable(definition):
        definition = _called(definition, path, name or "problem")
    if definition is None:
        definition = {key: getattr(module, key) for key in (*PARTS, *OPTIONS) if hasattr(module, key)}
    parts = dict(_named(definition, path, name or "problem"))
    parts["loss_fn"] = _guarded(parts["loss_fn"], path)
    return Problem(path, atomic.sha256(path), parts, name)


def _guarded(loss_fn: Any, path: Path) -> Any:
    """Turn an error in a loss function, or in the model that it calls, into one line with file and line number."""
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
    """Import a file by its path; it may import modules from its own folder."""
    spec = importlib.util.spec_from_file_location(f"_basinscope_problem_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(f"{path}: is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} fails{_line_of(error, path)}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(folder)
    return module


def _called(function: Any, path: Path, name: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise InputError(f"{path}: {name}() fails{_line_of(error, path)}: {type(error).__name__}: {error}") from error


def _line_of(error: Exception, path: Path) -> str:
    """Line of the file at which an error occurred."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f" at line {error.lineno}"
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path or f.filename == str(path)
    ]
    return f" at line {frames[-1].lineno}" if frames else ""


def _named(parts: Any, path: Path, name: str) -> Mapping[str, Any]:
    if isinstance(parts, tuple):
        if len(parts) != len(PARTS):
            raise InputError(f"{path}: {name} gives {len(parts)} values: give {', '.join(PARTS)}, or a dictionary")
        parts = dict(zip(PARTS, parts, strict=True))
    if not isinstance(parts, Mapping):
        raise InputError(f"{path}: {name} gives {kind_of(parts)}: give {', '.join(PARTS)}, or a dictionary")
    missing = [part for part in PARTS if part not in parts]
    if missing:
        raise InputError(f"{path} defines no {' and no '.join(missing)}; it must define {', '.join(PARTS)}")
    unknown = [key for key in parts if key not in (*PARTS, *OPTIONS)]
    if unknown:
        raise InputError(f"{path}: {name} gives {', '.join(unknown)}; allowed are {', '.join((*PARTS, *OPTIONS))}")
    return parts
