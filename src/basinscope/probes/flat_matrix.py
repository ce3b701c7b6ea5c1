"""The matrix whose spectrum is measured, as one that multiplies flat vectors of the moved entries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.protocol import Landscape, products_of
from basinscope.probes.operators import as_product, refuse_asymmetric
from basinscope.seeds import generator

Scale = Literal["plain", "filter"]


class FlatMatrix(ABC):
    """A symmetric matrix A over the moved entries, or D·A·D with D the filter norms.

    Entries are those of the moved tensors in the order of `landscape.filters`, each row by row, without those that
    masks exclude. Make it while the landscape is held: its check may leave out tensors that the loss does not use.
    """

    name: str
    """What it is, in results."""

    def __init__(self, landscape: Landscape, scale: Scale) -> None:
        self.landscape = landscape
        center = landscape.center
        exact = [center.exact(place) for place in range(len(center.filters))]
        self.like = exact[0].new_empty(0)
        self.size = landscape.num_moved
        self.num_products = 0
        self._diagonal: list[Tensor] | None = None
        if scale == "filter":
            self._diagonal = [f.root_mean_squares(weights) for f, weights in zip(center.filters, exact, strict=True)]

    @property
    @abstractmethod
    def products(self) -> str:
        """How its products with vectors are computed."""

    @abstractmethod
    def _multiply(self, blocks: list[Tensor]) -> list[Tensor]:
        """Multiply A by a vector, tensor by tensor."""

    def blocks(self, flat: Float[Tensor, " size"]) -> list[Tensor]:
        """Split a flat vector into tensors, scaled by D; 0 at entries that masks exclude."""
        center = self.landscape.center
        parts = flat.split([filters.num_moved for filters in center.filters])
        tensors = [
            filters.placed(part.to(tensor.device))
            for part, filters, tensor in zip(parts, center.filters, center.tensors, strict=True)
        ]
        if self._diagonal is not None:
            tensors = [part * scale for part, scale in zip(tensors, self._diagonal, strict=True)]
        return tensors

    def whole(self, flat: Float[Tensor, " size"]) -> Float[Tensor, " entries"]:
        """Values of the moved entries among all entries of their tensors; 0 at those that masks exclude."""
        filters = self.landscape.center.filters
        parts = flat.split([f.num_moved for f in filters])
        return torch.cat([f.placed(part).reshape(-1) for f, part in zip(filters, parts, strict=True)])

    def flat(self, blocks: list[Tensor]) -> Float[Tensor, " size"]:
        """Join tensors to a flat vector."""
        filters = self.landscape.center.filters
        return torch.cat([f.picked(part).to(self.like.device) for f, part in zip(filters, blocks, strict=True)])

    def product(self, flat: Float[Tensor, " size"]) -> Float[Tensor, " size"]:
        """Multiply the matrix by a flat vector.

        Raises:
            InputError: The product is not finite.
        """
        self.num_products += 1
        parts = [part.to(self.like.dtype) for part in self._multiply(self.blocks(flat))]
        if self._diagonal is not None:
            parts = [part * scale for part, scale in zip(parts, self._diagonal, strict=True)]
        product = self.flat(parts)
        if not product.isfinite().all():
            raise InputError(
                "the Hessian of the loss is not finite at the network's weights: look for roots, logarithms or "
                "powers of 0 in the network or the loss"
            )
        return product

    def start(self, seed: int, number: int, stream: str = "lanczos") -> Float[Tensor, " size"]:
        """A random starting vector."""
        return torch.randn(self.size, generator=generator(seed, stream, number)).to(self.like)


class Hessian(FlatMatrix):
    """The Hessian of the mean loss."""

    name = "Hessian"

    @property
    def products(self) -> str:
        """See `FlatMatrix`; known after the first product."""
        return products_of(self.landscape)

    def _multiply(self, blocks: list[Tensor]) -> list[Tensor]:
        return self.landscape.hessian_vector_product(blocks)


class Operator(FlatMatrix):
    """A matrix supplied by the user; see `operators.as_product`.

    Raises:
        InputError: It has the wrong shape, is not symmetric, or its product with a random vector is not finite.
    """

    name = "operator"

    def __init__(self, landscape: Landscape, scale: Scale, operator: Any, seed: int) -> None:
        super().__init__(landscape, scale)
        self._own = as_product(operator, self.size, self.like)
        refuse_asymmetric(self._own, self.size, self.like, seed)
        self.num_products = 2

    @property
    def products(self) -> str:
        """See `FlatMatrix`."""
        return "operator"

    def _multiply(self, blocks: list[Tensor]) -> list[Tensor]:
        product = self._own(self.flat(blocks))
        filters = self.landscape.center.filters
        parts = product.split([f.num_moved for f in filters])
        return [f.placed(part.to(b.device)) for f, part, b in zip(filters, parts, blocks, strict=True)]
