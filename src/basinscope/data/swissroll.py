"""Two interleaved spirals in the plane, the paper's "swiss roll".

A point of class 0 is x = (−1.5 φ cos φ, 1.5 φ sin φ) + N(0, 0.5²) with φ = √U · 600°, U uniform on [0, 1];
class 1 is its mirror image through the origin.

References:
    Huang et al. 2019, arXiv 1906.03291, figures 3, 5 and 6, and the scripts published with it.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from basinscope.data.samples import Samples

TURN = math.radians(600.0)
SCALE = 1.5
NOISE = 0.5
POINTS_PER_CLASS = 200
PUBLISHED_SEED = 1237


def _arm(angle: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Place points of class 0: angles (n,) in radians and unit noise (n, 2) -> coordinates (n, 2)."""
    spiral = torch.stack([-angle * torch.cos(angle), angle * torch.sin(angle)], dim=-1)
    return SCALE * spiral + NOISE * noise


def training_draw(data_seed: int | None = None) -> tuple[Samples, Samples]:
    """Draw 200 training and 200 test points.

    Both classes come from one draw of 200 points and its mirror image, shuffled and split in half.

    Args:
        data_seed: Which draw; `None` is the published one.

    Returns:
        Training and test samples, float64, 200 each.
    """
    # The published draw used numpy's legacy stream in exactly this order: angles, first noise, second noise.
    stream = np.random.RandomState(PUBLISHED_SEED if data_seed is None else data_seed)
    uniform = stream.rand(POINTS_PER_CLASS, 1)
    noise = np.concatenate([stream.randn(POINTS_PER_CLASS, 1), stream.randn(POINTS_PER_CLASS, 1)], axis=1)
    order = torch.from_numpy(stream.permutation(2 * POINTS_PER_CLASS))
    first = _arm(TURN * torch.from_numpy(np.sqrt(uniform[:, 0])), torch.from_numpy(noise))
    inputs = torch.cat([first, -first])[order]
    labels = torch.arange(2).repeat_interleave(POINTS_PER_CLASS)[order]
    half = POINTS_PER_CLASS
    return Samples(inputs[:half], labels[:half]), Samples(inputs[half:], labels[half:])


def sample_swissroll(num: int, generator: torch.Generator) -> Samples:
    """Draw fresh, independent points of both classes with equal probability.

    Args:
        num: How many points.
        generator: A CPU random stream.

    Returns:
        `num` samples, float32.
    """
    angle = TURN * torch.rand(num, generator=generator).sqrt()
    noise = torch.randn(num, 2, generator=generator)
    labels = torch.randint(2, (num,), generator=generator)
    return Samples(_arm(angle, noise) * (1 - 2 * labels).unsqueeze(-1), labels)
