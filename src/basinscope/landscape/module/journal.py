"""Append-only log of evaluations, from which an interrupted slice or radius resumes with bit-identical results.

A line each, appended as soon as it is known:

    {"of": "9f2c…", "at": [["0", 3, "filter", "0x1.0p-2"]], "loss": 1.5}

`of` names the network, its batches and what is moved; `at` the point. A line that an interruption cut short is passed
over. Numbers are written with all their digits, so whatever is measured from the file comes out bit for bit the same.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from basinscope.errors import InputError
from basinscope.landscape.protocol import Step

Place = list[list[str | int]]
"""A point around a network: for each step the name of its direction, then its distance as hexadecimal digits."""


_HEAD = '{"of": "'
"""How every line begins."""


class Journal:
    """Evaluations of one network among those that a file holds.

    Args:
        path: The file; made when there is something to write.
        of: Name of the network, its batches and what is moved.

    Raises:
        InputError: The file is there and holds something else, or its folder is not there.
    """

    def __init__(self, path: Path, of: str) -> None:
        self.path, self.of = path, of
        self._known: dict[str, float] = {}
        self._torn = False
        if path.is_dir():
            raise InputError(f"journal {path}: is a folder; name a file")
        if not path.absolute().parent.is_dir():
            raise InputError(f"journal {path}: its folder is not there; make it first")
        if path.exists():
            self._read()

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8", errors="replace")
        self._torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            if not (line.startswith(_HEAD) or _HEAD.startswith(line)):
                raise InputError(f"journal {self.path}: holds something else; name another file")
            with contextlib.suppress(ValueError, KeyError, TypeError):  # cut short
                found = json.loads(line)
                if found["of"] == self.of:
                    self._known[json.dumps(found["at"])] = float(found["loss"])

    def find(self, at: Place) -> float | None:
        """Loss at a point, if it was evaluated before."""
        return self._known.get(json.dumps(at))

    def keep(self, at: Place, loss: float) -> None:
        """Write the loss at a point down."""
        line = json.dumps({"of": self.of, "at": at, "loss": loss}) + "\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            # One write, so that several processes may use one file.
            os.write(handle, ("\n" * self._torn + line).encode())
        finally:
            os.close(handle)
        self._known[json.dumps(at)], self._torn = loss, False


def place_of(steps: Sequence[Step]) -> Place | None:
    """Name a point by random directions and distances; None if it is reached otherwise."""
    named: Place = [[*name, float(distance).hex()] for d, distance in steps if (name := d.name) is not None]
    return named if steps and len(named) == len(steps) else None


class Recalled:
    """The losses of a list of points that a journal holds; see `many.Known`."""

    def __init__(self, journal: Journal, steps: Sequence[Sequence[Step]]) -> None:
        self.journal, self.steps = journal, steps

    def find(self, number: int) -> float | None:
        """Loss at a point by its number, if it is known."""
        place = place_of(self.steps[number])
        return self.journal.find(place) if place else None

    def keep(self, number: int, loss: float) -> None:
        """Append the loss at a point."""
        place = place_of(self.steps[number])
        if place:
            self.journal.keep(place, loss)
