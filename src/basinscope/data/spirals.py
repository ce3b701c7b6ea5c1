"""Two clean spirals in the plane, the data of the minefield.

A point of class 1 is r · (cos θ, sin θ) with θ = t · 3π/200 and r = 5 √θ, t from 0 to 199; class 0 is its mirror image
through the origin. There is no noise.

References:
    Huang et al. 2019, arXiv 1906.03291, figure 1, and the scripts published with it.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from basinscope.data.samples import Samples

POINTS_PER_CLASS = 200
STEP = 3 * math.pi / 200
SCALE = 5.0
NUM_TRAIN, NUM_UNSEEN, NUM_TEST = 132, 134, 134
PUBLISHED_SEED = 99
_PUBLISHED_SECOND_SEED = 0


class Split(NamedTuple):
    """The 400 points, split into three sets."""

    train: Samples
    unseen: Samples
    test: Samples


def _arm(time: Tensor) -> Tensor:
    """Place points of class 1: times (n,) in [0, 199] -> coordinates (n, 2)."""
    angle = STEP * time
    return (SCALE * angle.sqrt()).unsqueeze(-1) * torch.stack([angle.cos(), angle.sin()], dim=-1)


def _all_points() -> Samples:
    """The 400 points in the published order: class 1 by time, then class 0."""
    arm = _arm(torch.arange(POINTS_PER_CLASS, dtype=torch.float64))
    return Samples(torch.cat([arm, -arm]), torch.tensor([1, 0]).repeat_interleave(POINTS_PER_CLASS))


def split(data_seed: int | None = None) -> Split:
    """Split the 400 points into 132 training, 134 unseen and 134 test points.

    Args:
        data_seed: Which split; `None` is the published one.

    Returns:
        The three sets, float64; unseen and test points in their order along the spiral.
    """
    # Two generators, used in the order of the published scripts: Python's for the training points, numpy's
    # legacy stream, after two draws of noise with variance 0, for the unseen ones.
    first = random.Random(PUBLISHED_SEED if data_seed is None else data_seed)
    train = first.sample(range(2 * POINTS_PER_CLASS), NUM_TRAIN)
    rest = np.setdiff1d(np.arange(2 * POINTS_PER_CLASS), train)
    second = np.random.RandomState(_PUBLISHED_SECOND_SEED if data_seed is None else data_seed)
    second.standard_normal((2, 2, POINTS_PER_CLASS))
    chosen = second.choice(len(rest), NUM_UNSEEN, replace=False)
    points = _all_points()

    def subset(indices: np.ndarray | list[int]) -> Samples:
        rows = torch.as_tensor(indices)
        return Samples(points.inputs[rows], points.labels[rows])

    return Split(subset(train), subset(np.sort(rest[chosen])), subset(np.delete(rest, chosen)))


def sample_spirals(num: int, generator: torch.Generator) -> Samples:
    """Draw fresh, independent points of both classes with equal probability, at any time between 0 and 199.

    Args:
        num: How many points.
        generator: A CPU random stream.

    Returns:
        `num` samples, float32.
    """
    time = (POINTS_PER_CLASS - 1) * torch.rand(num, generator=generator)
    labels = torch.randint(2, (num,), generator=generator)
    return Samples(_arm(time) * (2 * labels - 1).unsqueeze(-1), labels)
