"""The stored numbers of runs, and how they are printed."""

from __future__ import annotations

import json
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EMPTY, MINUS = "–", "−"
SIGNS = {">=": "≥", "<=": "≤", "==": "="}
MODES = ("one", "each", "range", "spread", "inverse", "num", "of", "holds")
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class NumbersError(ValueError):
    """A mark, an entry or a file that is wrong: one line that says which."""


@dataclass(frozen=True)
class Quote:
    """One quoted quantity: what it is called in claims, how it is printed, and its entries by file."""

    id: str
    about: dict[str, Any]
    entries: list[dict[str, Any]]
    """One for each file of the set that has it, in order."""

    def text(self, mode: str = "one", style: str | None = None) -> str:
        """Print it.

        Raises:
            NumbersError: `one` or `inverse` of several files, or there is nothing to print.
        """
        style = style or self.about.get("format", "g4")
        if mode == "num":
            return " · ".join(f"{entry['num']:,}" for entry in self.entries if "num" in entry) or EMPTY
        if mode == "spread":
            found = [value for entry in self.entries for value in entry.get("spread") or [] if value is not None]
            return between(found, style) if found else EMPTY
        measured = [entry for entry in self.entries if "measured" in entry]
        if not measured:
            raise NumbersError(f"{self.id}: no file of this set has a measured value")
        if mode == "range":
            return between([value for entry in measured for value in _listed(entry["measured"])], style)
        if mode == "of":
            shares = [
                (entry["measured"] * (entry["num"] if entry.get("unit", "1") == "1" else 1), entry["num"])
                for entry in measured
            ]
            return " · ".join(f"{share:,.0f} of {num:,}" for share, num in shares)
        if mode in ("each", "holds"):
            parts = [between(_listed(entry["measured"]), style) for entry in measured]
            if mode == "holds":
                marks = [" **no**" if entry.get("holds") is False else "" for entry in measured]
                parts = [part + mark for part, mark in zip(parts, marks, strict=True)]
            return " · ".join(parts)
        if len(measured) > 1:
            raise NumbersError(f"{self.id}: {len(measured)} files have it; say `each`, `range` or `spread`")
        values = _listed(measured[0]["measured"])
        return between([1 / value for value in values] if mode == "inverse" else values, style)


def _listed(value: Any) -> list[Any]:
    """A measured value as a list; a list stands for a range of which no more is known."""
    return value if isinstance(value, list) else [value]


def between(values: list[Any], style: str) -> str:
    """Print one value, or the smallest and the largest."""
    if any(isinstance(value, str) for value in values):
        return " · ".join(style.format(value) if "{}" in style else value for value in values)
    low, high = printed(min(values), style), printed(max(values), style)
    if low == high:
        return low
    return f"{low} to {high}" if low[0] in "+−" else f"{low} – {high}"


def printed(value: float | None, style: str) -> str:
    """Print one number.

    Raises:
        NumbersError: No such format.
    """
    if value is None:
        return EMPTY
    if "{}" in style:
        return style.format(value)
    try:
        if style == "time":
            minutes, seconds = divmod(round(value), 60)
            parts = [f"{minutes} min"] * (minutes > 0) + [f"{seconds:02} s" if minutes else f"{seconds} s"] * (
                seconds > 0
            )
            return " ".join(parts)
        if style == "min":
            return f"{value / 60:.0f}"
        if style[0] == "g":
            text = _significant(value, int(style[1:]))
        elif style[-1] == "p":
            text = f"{100 * value:{style[:-1]}f}"
        elif style[-1] == "%":
            text = f"{100 * value:{style[:-1]}f} %"
        else:
            text = f"{value:{style}}"
    except ValueError:
        raise NumbersError(f"no such format: {style}") from None
    return text.replace("-", MINUS)


def _significant(value: float, digits: int) -> str:
    """A number of so many digits, with commas, and as a power of ten where it is very large or small."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        places = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
        text = f"{round(value, places):,.{max(places, 0)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}·10{str(int(power)).translate(SUPERSCRIPT)}"


class Numbers:
    """Everything that is stored and quoted.

    Args:
        folder: Holds `quoted.toml` and the JSON files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        quoted = tomllib.loads((folder / "quoted.toml").read_text(encoding="utf-8"))
        self.sets: dict[str, list[str]] = quoted.pop("sets")
        self.tables: dict[str, dict[str, Any]] = quoted.pop("tables")
        self.sections: dict[str, dict[str, dict[str, Any]]] = quoted

    def files(self, name: str) -> list[dict[str, Any]]:
        """Read the files of a set: patterns in the order they stand, names in alphabetical order within a pattern.

        Raises:
            NumbersError: No such set, or no file for a pattern.
        """
        if name not in self.sets:
            raise NumbersError(f"no set {name} in quoted.toml; sets: {', '.join(sorted(self.sets))}")
        found: dict[Path, dict[str, Any]] = {}
        for pattern in self.sets[name]:
            paths = sorted(self.folder.glob(f"{pattern}.json"), key=lambda path: path.stem)
            if not paths:
                raise NumbersError(f"set {name}: no file docs/numbers/{pattern}.json")
            found |= {path: json.loads(path.read_text(encoding="utf-8")) for path in paths if path not in found}
        return list(found.values())

    def quote(self, name: str, key: str) -> Quote:
        """Look up one quantity in a set.

        Raises:
            NumbersError: It is not quoted, or no file has it.
        """
        files = self.files(name)
        section = self.sections.get(files[0]["section"], {})
        entries = [file["numbers"][key] for file in files if key in file["numbers"]]
        if key not in section or not entries:
            raise NumbersError(f"{name}/{key}: not in quoted.toml, or in no file of the set")
        return Quote(f"{name}/{key}", section[key], entries)

    def span(self, spec: str) -> str:
        """Print what a mark asks for.

        Raises:
            NumbersError: The mark is not one, or names something unknown.
        """
        path, *words = spec.split()
        modes = [word for word in words if word in MODES]
        styles = [word for word in words if word not in MODES]
        if path.count("/") != 1 or len(modes) > 1 or len(styles) > 1:
            raise NumbersError(f"a mark reads SET/ID [MODE] [FORMAT], not {spec}")
        return self.quote(*path.split("/")).text(*(modes or ["one"]), *styles)

    def table(self, name: str) -> str:
        """Print a table as Markdown.

        Raises:
            NumbersError: No such table.
        """
        if name not in self.tables:
            raise NumbersError(f"no table {name} in quoted.toml; tables: {', '.join(sorted(self.tables))}")
        table = self.tables[name]
        lines = [_row(table["head"]), "|" + "---|" * len(table["head"])]
        stored = {key for file in self.files(table["set"]) for key in file["numbers"]}
        section = self.sections[self.files(table["set"])[0]["section"]]
        for key in table.get("rows") or [key for key in section if key in stored]:
            quote = self.quote(table["set"], key)
            lines.append(_row([self._cell(quote, column) for column in table["cells"]]))
        return "\n".join(lines) + "\n"

    @staticmethod
    def _cell(quote: Quote, column: str) -> str:
        entry, style = quote.entries[0], quote.about.get("format", "g4")
        if column == "label":
            return quote.about.get("label") or entry.get("claim") or quote.id
        if column == "published":
            published = quote.about.get("published", entry.get("published"))
            paper = quote.about.get("paper", style)
            return published if isinstance(published, str) else _short(printed(published, paper))
        if column == "target":
            return target(entry.get("target"), style)
        text, unit = quote.text(column), entry.get("unit", "1")
        has_unit = column in ("one", "each", "holds") and unit not in ("1", "") and not quote.about.get("plain")
        return f"{text} {unit}" if has_unit else text


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def target(words: str | None, style: str) -> str:
    """Print a target such as `>= 0.9` in the format of its number."""
    if not words:
        return EMPTY
    sign, value = words.split()
    return f"{SIGNS[sign]} {_short(printed(float(value), style))}"


def _short(text: str) -> str:
    """A printed number without zeros at its end."""
    return re.sub(r"\.0+(?=\D|$)|(\.\d*?[1-9])0+(?=\D|$)", r"\1", text)
