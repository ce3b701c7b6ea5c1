"""Exceptions of basinscope; each message is one line: what is wrong, where, and what to do."""

SHOWN = 60
"""Longest value that a message repeats."""


class InputError(ValueError):
    """A user mistake: an invalid value, an unknown name, a device that is not available."""


class NonfiniteLossError(InputError):
    """The loss at a network's weights is NaN or infinite.

    Args:
        message: One line.
        loss: The loss.
    """

    def __init__(self, message: str, loss: float) -> None:
        super().__init__(message)
        self.loss = loss


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Check that a value is one of the allowed ones.

    Raises:
        InputError: It is not.
    """
    if value not in allowed:
        shown = repr(value) if len(repr(value)) <= SHOWN else f"a {type(value).__name__}"
        raise InputError(f"{name} = {shown}: choose from {', '.join(map(str, allowed))}")


class TrainingDivergedError(RuntimeError):
    """The loss of networks became NaN or infinite; the message names each network and its step."""


class DamagedResultError(RuntimeError):
    """A stored file does not match its recorded checksum, or cannot be read."""
