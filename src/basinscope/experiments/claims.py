"""A published claim with its measured value."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_COMPARE = {">=": operator.ge, "<=": operator.le, "==": operator.eq}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim; `holds` is None if the number is only reported."""

    figure: str
    """Stem of the figure's files."""
    claim: str
    published: float | None = None
    """The paper's number, if it gives one."""
    target: str = ""
    """A comparison such as `>= 0.9`, or empty."""
    measured: float
    unit: str
    num: int
    """Number of networks or rays behind the measured value."""
    spread: tuple[float, float]
    """Smallest and largest value among them."""
    preset: str
    data: str

    @property
    def holds(self) -> bool | None:
        """Whether the measured value meets the target; NaN does not."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        return bool(_COMPARE[sign](self.measured, float(bound)))

    def to_json(self) -> dict[str, Any]:
        """Convert to plain values in the order of the file format; numbers that are not finite become None."""
        fields = asdict(self)
        ends = [fields.pop(name) for name in ("preset", "data")]
        fields |= {"holds": self.holds, "preset": ends[0], "data": ends[1]}
        fields["target"] = self.target or None
        fields["measured"] = _finite(self.measured)
        fields["spread"] = [_finite(end) for end in self.spread]
        return fields


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def span(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest value, ignoring NaN; NaN if there are none."""
    present = [float(v) for v in values if not math.isnan(v)]
    return (min(present), max(present)) if present else (math.nan, math.nan)
