"""A direction around a minimum, stored as (seed, index) and regenerated when needed."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.gaussian import gaussian, gaussian_into
from basinscope.landscape.normalize import Normalization


@dataclass(frozen=True)
class Ray:
    """A direction stored as seed and index, so that no vector of the network's size is kept."""

    normalization: Normalization
    seed: int
    index: int

    def place(self, point: Float[Tensor, " params"], center: Float[Tensor, " params"], distance: float) -> None:
        """Overwrite `point` with `center + distance · direction`."""
        gaussian_into(point[: self.normalization.num_moved], self.seed, self.index)
        self.normalization.displace(point, center, distance)

    def direction(self, center: Float[Tensor, " params"]) -> Float[Tensor, " params"]:
        """Generate the direction itself."""
        rows = gaussian(self.seed, [self.index], self.normalization.num_moved).to(center.device, center.dtype)
        return self.normalization.directions(rows, center)[0]
