"""How messages name a setting: as Python does, or as the command line does."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spelling:
    """Writes settings as arguments or as flags."""

    flags: bool

    def __call__(self, name: str, value: object = None, *, flag: str = "") -> str:
        """Write a setting, with its value if one is given.

        Args:
            name: Of the argument.
            value: Left out if it is None.
            flag: On the command line; made from the name unless it is given.

        Example:
            >>> IN_PYTHON("data_dir", "images"), AS_FLAGS("data_dir", "images")
            ('data_dir = images', '--data-dir images')
        """
        if not self.flags:
            return name if value is None else f"{name} = {value}"
        written = flag or f"--{name.replace('_', '-')}"
        return written if value is None else f"{written} {value}"


IN_PYTHON, AS_FLAGS = Spelling(flags=False), Spelling(flags=True)
