"""Statistics of earlier rays: where the next one starts, and how lines bend near the crossing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from basinscope.probes.search.bracket import Start

ENOUGH_POINTS = 6
"""Fewest points near crossings from which a bend is fitted; fewer points give only a slope."""
ENOUGH_RAYS, USUAL_SPREAD = 4, 0.15
"""Fewest rays from which the spread of log distances is estimated, and the value used until then."""
NEAR = 0.7
"""Log distance from a crossing within which points enter the fit."""


@dataclass
class Seen:
    """Crossings of earlier rays, and the points near them whose loss is known exactly."""

    crossings: list[float] = field(default_factory=list)
    """Log distances."""
    to_go: list[float] = field(default_factory=list)
    """Log distance from a point to its ray's crossing."""
    heights: list[float] = field(default_factory=list)
    """log(loss / cutoff) at that point."""

    def add(self, trace: list[tuple[float, float]], crossing: float) -> None:
        """Add a ray's points (log distance, height) and its crossing."""
        self.crossings.append(crossing)
        for x, f in trace:
            if abs(x - crossing) < NEAR and f != 0:
                self.to_go.append(crossing - x)
                self.heights.append(f)

    def start(self, begin: float) -> Start:
        """Where the next ray starts and how its line may bend; the first ray starts at `begin`."""
        if not self.crossings:
            return Start(begin)
        enough = len(self.crossings) >= ENOUGH_RAYS
        spread = float(np.std(self.crossings)) if enough else USUAL_SPREAD
        distance = math.exp(float(np.median(self.crossings)))
        slope, bend = self._line()
        return Start(distance, slope, bend, inwards=max(2 * spread, math.log1p(1e-3)))

    def _line(self) -> tuple[float, float]:
        """Log distance to the crossing per unit of −height, and its change with the height."""
        f, to_go = np.array(self.heights), np.array(self.to_go)
        if len(f) < ENOUGH_POINTS:
            return (float(np.median(-to_go / f)) if len(f) else 1.0), 0.0
        slope, bend = np.linalg.lstsq(np.stack([-f, -(f**2)], axis=1), to_go, rcond=None)[0]
        return float(slope), float(bend)
