"""Exceptions of basinscope; each message is one line: what is wrong, where, and what to do."""


class InputError(ValueError):
    """A user mistake: an invalid value, an unknown name, a device that is not available."""


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Check that a value is one of the allowed ones.

    Raises:
        InputError: It is not.
    """
    if value not in allowed:
        raise InputError(f"{name} = {value!r}: choose from {', '.join(map(str, allowed))}")


class TrainingDivergedError(RuntimeError):
    """The loss of networks became NaN or infinite; the message names each network and its step."""


class DamagedResultError(RuntimeError):
    """A stored file does not match its recorded checksum, or cannot be read."""
