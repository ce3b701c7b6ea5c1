"""JSON records with a checksum of their own content, which detects changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from basinscope.errors import DamagedResultError
from basinscope.runs import atomic

_KEY = "checksum"


def _checksum(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_record(path: Path, value: Mapping[str, Any]) -> None:
    """Write a record atomically, with its checksum as the last key."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    atomic.write_json(path, {**plain, _KEY: _checksum(plain)})


def read(path: Path) -> dict[str, Any] | None:
    """Read a record; None if there is none.

    Raises:
        DamagedResultError: It cannot be read, is truncated, or does not match its checksum.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedResultError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # neither JSON nor UTF-8
        raise DamagedResultError(f"{path}: is truncated or altered") from error
    if not isinstance(record, dict) or record.pop(_KEY, None) != _checksum(record):
        raise DamagedResultError(f"{path}: does not match its checksum")
    return record
