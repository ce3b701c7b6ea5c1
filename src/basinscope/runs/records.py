"""JSON records that carry the checksum of their own content, so that an altered one is noticed."""

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
    """Write a record whole or not at all; its checksum comes last."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    atomic.write_json(path, {**plain, _KEY: _checksum(plain)})


def read(path: Path) -> dict[str, Any] | None:
    """Read a record; one that is not there gives nothing.

    Raises:
        DamagedResultError: It cannot be read, is cut short, or does not match its checksum.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedResultError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # neither JSON nor UTF-8
        raise DamagedResultError(f"{path}: is cut short or altered") from error
    if not isinstance(found, dict) or found.pop(_KEY, None) != _checksum(found):
        raise DamagedResultError(f"{path}: does not match its checksum")
    return found
