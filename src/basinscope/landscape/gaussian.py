"""Gaussian vectors that depend only on (seed, index), not on device, dtype, batch or worker."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.seeds import child_seed

_MASK = 2**64 - 1


_WORTH_A_THREAD = 32
"""Directions below which starting a thread costs more than it saves."""


RAYS_BYTES = 64 * 2**20
"""Memory limit for directions that are evaluated together."""


def rays_at_once(size: int, most: int) -> int:
    """Number of directions of `size` float32 entries evaluated together: at most `most`, fewer if they are long."""
    return max(32, min(most, RAYS_BYTES // (4 * size)))


def _mix(base: int, index: int) -> int:
    """Spread (base, index) over 64 bits: the finalizer of SplitMix64 (Steele, Lea and Flood 2014)."""
    z = (base + (index + 1) * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def gaussian(seed: int, indices: Sequence[int], size: int) -> Float[Tensor, "rays size"]:
    """Draw one standard normal vector for each index.

    Args:
        seed: Root seed of the family of directions.
        indices: Members of the family.
        size: Entries of each vector.

    Returns:
        Vectors on the CPU in float32, one row per index. A row does not depend on the other indices.
    """
    base = child_seed(seed, "direction")
    rows = torch.empty(len(indices), size)

    def fill(part: Tensor, members: Sequence[int]) -> None:
        stream = torch.Generator()
        for row, index in zip(part, members, strict=True):
            stream.manual_seed(_mix(base, index) >> 1)
            row.normal_(generator=stream)

    share = -(-len(indices) // torch.get_num_threads())
    if share < _WORTH_A_THREAD:
        fill(rows, indices)
        return rows
    parts = [slice(begin, begin + share) for begin in range(0, len(indices), share)]
    with ThreadPoolExecutor(len(parts)) as pool:
        for done in [pool.submit(fill, rows[part], indices[part]) for part in parts]:
            done.result()
    return rows


def gaussian_into(row: Float[Tensor, " size"], seed: int, index: int) -> None:
    """Draw one member of a family into `row`: the entries of `gaussian`, without a second copy on the CPU."""
    # Non-contiguous rows are filled in a different order.
    if row.device.type == "cpu" and row.dtype == torch.float32 and row.is_contiguous():
        row.normal_(generator=torch.Generator().manual_seed(_mix(child_seed(seed, "direction"), index) >> 1))
    else:
        row.copy_(gaussian(seed, [index], len(row))[0])
