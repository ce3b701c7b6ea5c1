"""Named random streams from one root seed: a stream depends on its name, never on order, worker or batch."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

MAX_SEED = 2**63 - 1


def child_seed(root: int, *path: str | int) -> int:
    """Derive the seed of the stream that `path` names.

    Args:
        root: The root seed, any integer.
        path: The name of the stream, for example `("start", 3)`.

    Returns:
        An integer in [0, 2⁶³ − 1]; different paths give independent seeds.

    Example:
        >>> child_seed(0, "start", 1) == child_seed(0, "start", 1)
        True
        >>> child_seed(0, "start", 1) == child_seed(0, "start", 2)
        False
    """
    name = "/".join([str(root), *(f"{type(part).__name__}:{len(str(part))}:{part}" for part in path)])
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & MAX_SEED


def generator(root: int, *path: str | int) -> torch.Generator:
    """Open the CPU random stream that `path` names; see `child_seed`."""
    import torch

    return torch.Generator().manual_seed(child_seed(root, *path))
