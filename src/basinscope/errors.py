"""Exceptions of basinscope; each message is one line: what is wrong, where, and what to do."""

SHOWN = 60
"""Longest value that a message repeats."""


def kind_of(value: object) -> str:
    """Type of a value with its article, for messages.

    Example:
        >>> kind_of([]), kind_of(3)
        ('a list', 'an int')
    """
    return with_article(type(value).__name__)


def with_article(noun: str) -> str:
    """A noun after `a` or `an`, for messages."""
    return f"{'an' if noun.lstrip('_')[:1].lower() in tuple('aeio') else 'a'} {noun}"


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
        shown = repr(value) if len(repr(value)) <= SHOWN else kind_of(value)
        raise InputError(f"{name} = {shown}: choose from {', '.join(map(str, allowed))}")


class TrainingDivergedError(RuntimeError):
    """The loss of networks became NaN or infinite; the message names each network and its step."""


class DamagedResultError(RuntimeError):
    """A stored file does not match its recorded checksum, or cannot be read."""
