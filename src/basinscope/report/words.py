"""Formats numbers and targets for readers."""

from __future__ import annotations

_MINUS = "\u2212"
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def number(value: float | None) -> str:
    """Format a number with four significant digits and no needless exponent."""
    if value is None:
        return "–"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}·10{str(int(exponent)).translate(_RAISED)}".replace("-", _MINUS)
    return (f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}").replace("-", _MINUS)


def comparison(target: str) -> str:
    """Format a target in mathematical notation: `>= -0.9` becomes `≥ −0.9`."""
    return target.translate(str.maketrans({"-": _MINUS})).replace(">=", "≥").replace("<=", "≤").replace("==", "=")
