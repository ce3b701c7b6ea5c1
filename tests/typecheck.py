"""The checker of annotations that tests run the package under."""

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeDecorHintPep3119Exception

# As for a static checker, an int is a float.
_strict = beartype(conf=BeartypeConf(is_pep484_tower=True))


def checked(annotated: Callable[..., Any]) -> Callable[..., Any]:
    """Check calls with beartype; leave alone what names a protocol that Python cannot check at run time."""
    try:
        return _strict(annotated)
    except BeartypeDecorHintPep3119Exception:
        return annotated
