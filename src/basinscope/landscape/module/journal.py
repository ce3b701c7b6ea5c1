"""Append-only log of evaluations, from which an interrupted slice or radius resumes with bit-identical results.

One line per evaluation, appended immediately:

    {"of": "9f2c…", "at": [["0", 3, "filter", "0x1.0p-2"]], "loss": 1.5}

`of` is a fingerprint of the network, its batches and the moved tensors; `at` is the point. Truncated lines are skipped.
Numbers are written with all digits, so that resumed results are bit-identical.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from basinscope.errors import InputError
from basinscope.landscape.filters import Filters
from basinscope.landscape.masks import digests_of
from basinscope.landscape.protocol import Step

Place = list[list[str | int]]
"""A point around a network: for each step the name of its direction, then its distance as hexadecimal digits."""


_HEAD = '{"of": "'
"""Prefix of every line."""


class Journal:
    """Evaluations of one network in a file that several networks may share.

    Args:
        path: The file; created by the first write.
        of: Fingerprint of the network, its batches and the moved tensors.

    Raises:
        InputError: The file exists but is not a journal, or its folder does not exist.
    """

    def __init__(self, path: Path, of: str) -> None:
        self.path, self.of = path, of
        self._known: dict[str, float] = {}
        self._torn = False
        if path.is_dir():
            raise InputError(f"journal {path}: is a folder; choose a file")
        if not path.absolute().parent.is_dir():
            raise InputError(f"journal {path}: its folder does not exist; create it first")
        if path.exists():
            self._read()

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8", errors="replace")
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            if not (line.startswith(_HEAD) or _HEAD.startswith(line)):
                raise InputError(f"journal {self.path}: is not a journal; choose another file")
            with contextlib.suppress(ValueError, KeyError, TypeError):  # truncated
                entry = json.loads(line)
                if entry["of"] == self.of:
                    self._known[json.dumps(entry["at"])] = float(entry["loss"])

    def find(self, at: Place) -> float | None:
        """Loss at a point, if it was evaluated before."""
        return self._known.get(json.dumps(at))

    def keep(self, at: Place, loss: float) -> None:
        """Append the loss at a point."""
        line = json.dumps({"of": self.of, "at": at, "loss": loss}) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            # A single write, so that several processes can share the file.
            os.write(handle, ("\n" * self._torn + line).encode())
        finally:
            os.close(handle)
        self._known[json.dumps(at)], self._torn = loss, False


def place_of(steps: Sequence[Step]) -> Place | None:
    """Name a point by random directions and distances; None if other directions are involved."""
    named: Place = [[*name, float(distance).hex()] for d, distance in steps if (name := d.name) is not None]
    return named if steps and len(named) == len(steps) else None


class Recalled:
    """Journal entries of a list of points; see `many.Known`."""

    def __init__(self, journal: Journal, steps: Sequence[Sequence[Step]]) -> None:
        self.journal, self.steps = journal, steps

    def find(self, number: int) -> float | None:
        """Loss at a point by its index, if known."""
        point = place_of(self.steps[number])
        return self.journal.find(point) if point else None

    def keep(self, number: int, loss: float) -> None:
        """Append the loss at a point."""
        point = place_of(self.steps[number])
        if point:
            self.journal.keep(point, loss)


def fingerprint_of(
    filters: Sequence[Filters],
    one_dim: str,
    bits: Sequence[int],
    loss: float,
    count: float,
    device: torch.device,
) -> str:
    """Hash that identifies a network, its batches, the moved tensors and their masks.

    Args:
        filters: The moved tensors.
        one_dim: Whether tensors with at most one axis are moved.
        bits: Sum of the bits of each tensor of the network.
        loss: Mean loss at the center.
        count: Count of one pass.
        device: Device of the network.
    """
    moved = [(f.name, list(f.shape), list(f.split), list(f.inner)) for f in filters]
    facts = [moved, one_dim, bits, loss.hex(), float(count).hex(), str(device)]
    if masks := digests_of(filters):
        facts.append(masks)
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
