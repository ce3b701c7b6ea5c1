"""Diagonal of a large symmetric matrix from products with random signs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.probes.lanczos import Product
from basinscope.probes.uncertainty import student_factor


@torch.no_grad()
def diagonal(
    product: Product,
    size: int,
    num: int,
    *,
    like: Tensor,
    seed: int,
    progress: Callable[[float], None] | None = None,
) -> tuple[Float[Tensor, " size"], Float[Tensor, " size"]]:
    """Estimate every entry of the diagonal: the mean of z ∘ A z over vectors z of random signs.

    The error of an entry comes from the other entries of its row: its variance is their sum of squares over `num`.

    Args:
        product: The matrix.
        size: Its number of rows.
        num: Random vectors, 2 or more; takes as many products. If `num` is at least `size`, the diagonal is computed
            exactly from `size` products.
        like: A tensor whose device and precision are used.
        seed: Seed of the vectors.
        progress: Called after each product with the finished share.

    Returns:
        The diagonal, and the standard error of each entry, 0 if exact: that of the mean over the vectors, widened by
        `student_factor`.

    References:
        Bekas, Kokiopoulou and Saad 2007; Hutchinson 1990 (the trace).
    """
    mean, squares = torch.zeros(size).to(like), torch.zeros(size).to(like)
    if num >= size:
        for k in range(size):
            unit = torch.zeros_like(mean)
            unit[k] = 1.0
            mean[k] = product(unit)[k]
            if progress:
                progress((k + 1) / size)
        return mean, squares
    stream = torch.Generator().manual_seed(seed)
    for k in range(num):
        signs = (2.0 * torch.randint(2, (size,), generator=stream) - 1).to(like)
        sample = signs * product(signs)
        # Mean and squared deviations by Welford's recurrence, which stores no samples.
        change = sample - mean
        mean = mean + change / (k + 1)
        squares = squares + change * (sample - mean)
        if progress:
            progress((k + 1) / num)
    return mean, (squares.clamp(min=0) / (num - 1)).sqrt() * (student_factor(num) / math.sqrt(num))
