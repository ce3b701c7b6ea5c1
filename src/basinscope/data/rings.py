"""Concentric rings in the plane, with an adjustable margin.

Class 0 (blue) is 40 points on the inner ring of radius 0.4. Class 1 (red) is 80 points on the outer ring of radius 0.95
and 10 points on a middle ring of radius 0.4 + gap, each halfway between two blue neighbours.

References:
    Huang et al. 2019, arXiv 1906.03291, figure 8, and the scripts published with it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from basinscope.data.samples import Samples

INNER, OUTER = 0.4, 0.95
NUM_INNER, NUM_MIDDLE, NUM_OUTER = 40, 10, 80
BLUE, RED = 0, 1


def ring(radius: float, num: int, *, turn: float = 0.0) -> Tensor:
    """Place points evenly on a ring.

    Args:
        radius: Radius of the ring.
        num: How many points.
        turn: Angle of the first point, in steps between two points.

    Returns:
        Coordinates, (num, 2), float64.
    """
    angle = 2 * math.pi * (torch.arange(num, dtype=torch.float64) + turn) / num
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def training_points(gap: float) -> Samples:
    """Place the 130 training points, blue first, then the middle ring, then the outer one."""
    # Halfway between every fourth pair of blue neighbours: half a blue step, in steps of the middle ring.
    halfway = 0.5 * NUM_MIDDLE / NUM_INNER
    points = [ring(INNER, NUM_INNER), ring(INNER + gap, NUM_MIDDLE, turn=halfway), ring(OUTER, NUM_OUTER)]
    labels = torch.tensor([BLUE, RED]).repeat_interleave(torch.tensor([NUM_INNER, NUM_MIDDLE + NUM_OUTER]))
    return Samples(torch.cat(points), labels)


def dense_rings(gap: float, num: int, *, turn: float = 0.25) -> Samples:
    """Place points densely on the two inner rings, `num` blue ones on radius 0.4 and `num` red ones on 0.4 + gap."""
    points = torch.cat([ring(INNER, num, turn=turn), ring(INNER + gap, num, turn=turn)])
    return Samples(points, torch.tensor([BLUE, RED]).repeat_interleave(num))
