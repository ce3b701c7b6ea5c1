"""Wraps long names to a width."""

from __future__ import annotations

import re
import unicodedata

_BROAD = frozenset("mwMW@%")


def letter_width(letter: str) -> float:
    """Approximate width of a character in units of the font size, on the wide side."""
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    return 0.85 if letter.isupper() or letter in _BROAD else 0.62


def wrap(text: str, width: float, size: float) -> str:
    """Break text into lines, after spaces, hyphens, underscores or slashes if possible, else anywhere.

    Args:
        text: The text; its line breaks are preserved.
        width: Available width in inches.
        size: Font size in points.

    Returns:
        The lines, joined by line breaks; dollar signs are escaped, so that names are not parsed as formulas.
    """
    room = max(1.0, 72 * width / size)
    return "\n".join(line.replace("$", r"\$") for one in text.split("\n") for line in _lines(one, room))


def _lines(text: str, room: float) -> list[str]:
    lines, used = [""], 0.0
    for piece in re.findall(r"[^-_ /]+[-_ /]*|[-_ /]+", text):
        if used and used + sum(map(letter_width, piece.rstrip())) > room:
            lines.append("")
            used = 0.0
        for letter in piece:
            if used and letter != " " and used + letter_width(letter) > room:
                lines.append("")
                used = 0.0
            lines[-1] += letter
            used += letter_width(letter)
    return [line.rstrip() for line in lines]
