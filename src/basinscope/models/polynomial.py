"""Linear model on pixels and their products: as many parameters as a network, but no hidden layer."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from basinscope.errors import InputError

SHRUNK = 16
"""Side of the images that the polynomial model sees, unless told otherwise."""
_ROWS_AT_ONCE = 128
"""Rows of a triangle unpacked together: smaller blocks repeat overhead, larger ones multiply with more zeros."""


def quadratic_forms(
    vectors: Float[Tensor, "samples size"], triangles: Float[Tensor, "classes monomials"]
) -> Float[Tensor, "samples classes"]:
    """Evaluate Σ_{i ≤ j} t_ij x_i x_j for each vector x and each triangle t, without forming the monomials.

    Args:
        vectors: One vector x per row.
        triangles: One upper triangle per row, packed row by row: t_00, t_01, …, t_0n, t_11, ….

    Returns:
        One value for each vector and triangle.

    Example:
        >>> quadratic_forms(torch.tensor([[2.0, 3.0]]), torch.tensor([[1.0, 10.0, 100.0]]))
        tensor([[964.]])
    """
    size, num_forms = vectors.shape[1], len(triangles)
    total, taken = vectors.new_zeros(len(vectors), num_forms), 0
    for begin in range(0, size, _ROWS_AT_ONCE):
        # A block holds rows begin…end of the triangle; left of begin they are empty.
        rows, columns = min(_ROWS_AT_ONCE, size - begin), size - begin
        row, column = torch.triu_indices(rows, columns, device=vectors.device)
        packed = triangles[:, taken : taken + len(row)]
        taken += len(row)
        block = packed.new_zeros(num_forms, rows * columns).index_copy(1, row * columns + column, packed)
        halves = (vectors[:, begin:] @ block.view(num_forms * rows, columns).T).unflatten(1, (num_forms, rows))
        total = total + torch.einsum("skr,sr->sk", halves, vectors[:, begin : begin + rows])
    return total


class PolynomialLinear(nn.Module):
    """Logits linear in all pixels and in all products of two pixels of the shrunk image; a bias for each class.

    The image is shrunk by averaging. The P pixels are divided by √P and the M products by √M: on images whose channels
    have mean 0 and variance 1 both groups are then vectors of length about 1, so that one learning rate, about 1, suits
    both. All parameters start at zero. Features are never stored: products are evaluated as quadratic forms.

    Args:
        num_classes: Number of logits per sample.
        in_channels: Channels of an image.
        size: Height and width of an image, in pixels.
        shrunk: Height and width of the image whose pixels are multiplied, at most `size`.

    Raises:
        InputError: The shrunk image is empty or larger than the image.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 2 and figure 2.

    Example:
        >>> PolynomialLinear(10, 3, 32, 16).num_features
        298368
    """

    def __init__(self, num_classes: int, in_channels: int, size: int, shrunk: int) -> None:
        super().__init__()
        if not 1 <= shrunk <= size:
            raise InputError(f"shrunk = {shrunk}: choose from 1 to the image's size, {size}")
        self.shrunk = shrunk
        num_factors = in_channels * shrunk**2
        self.pixels = nn.Parameter(torch.zeros(num_classes, in_channels * size**2))
        self.products = nn.Parameter(torch.zeros(num_classes, num_factors * (num_factors + 1) // 2))
        self.bias = nn.Parameter(torch.zeros(num_classes))

    @property
    def num_features(self) -> int:
        """Number of pixels and products; each has one parameter per class, in addition to the biases."""
        return self.pixels.shape[1] + self.products.shape[1]

    def forward(self, images: Float[Tensor, "samples channels size size"]) -> Float[Tensor, "samples classes"]:
        """Compute the logits of each image."""
        linear = images.flatten(1) @ self.pixels.T / math.sqrt(self.pixels.shape[1])
        factors = adaptive_avg_pool2d(images, self.shrunk).flatten(1)
        return linear + quadratic_forms(factors, self.products) / math.sqrt(self.products.shape[1]) + self.bias
