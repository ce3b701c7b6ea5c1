"""Spells settings in messages: as Python arguments or as command-line flags."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spelling:
    """Writes settings as arguments or as flags."""

    flags: bool

    def __call__(self, name: str, value: object = None, *, flag: str = "") -> str:
        """Write a setting, with its value if one is given.

        Args:
            name: Name of the argument.
            value: Its value; omitted if None.
            flag: Its flag; by default derived from the name.

        Example:
            >>> IN_PYTHON("data_dir", "images"), AS_FLAGS("data_dir", "images")
            ('data_dir = images', '--data-dir images')
        """
        if not self.flags:
            return name if value is None else f"{name} = {value}"
        written = flag or f"--{name.replace('_', '-')}"
        return written if value is None else f"{written} {value}"


IN_PYTHON, AS_FLAGS = Spelling(flags=False), Spelling(flags=True)
