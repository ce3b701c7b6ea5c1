"""Symmetric matrices in float64."""

import torch
from torch import Tensor


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def with_eigenvalues(*values: float, seed: int = 0) -> Tensor:
    basis, _ = torch.linalg.qr(noise(len(values), len(values), seed=seed))
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


def symmetric(size: int, seed: int = 0) -> Tensor:
    """A dense random matrix, about as many eigenvalues below 0 as above."""
    matrix = noise(size, size, seed=seed)
    return 0.5 * (matrix + matrix.T)
