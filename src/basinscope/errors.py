"""What basinscope says when something is wrong: one line that tells what, where and what to do."""


class InputError(ValueError):
    """The user asked for something that cannot be: a bad value, a missing name, a device that is not there."""


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not among the allowed ones.

    Raises:
        InputError: It is not.
    """
    if value not in allowed:
        raise InputError(f"{name} = {value!r}: choose from {', '.join(map(str, allowed))}")


class TrainingDivergedError(RuntimeError):
    """Networks whose loss became NaN or infinite; the message names each one and its step."""


class DamagedResultError(RuntimeError):
    """A stored file that does not match its recorded checksum, or that cannot be read."""
