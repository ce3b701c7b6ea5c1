"""One member of a family of directions around a minimum, made anew whenever it is needed."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from basinscope.landscape.gaussian import gaussian, gaussian_into
from basinscope.landscape.normalize import Normalization


@dataclass(frozen=True)
class Ray:
    """A direction that is known by its seed and index, so that nothing as large as a network has to be kept."""

    normalization: Normalization
    seed: int
    index: int

    def place(self, point: Float[Tensor, " params"], center: Float[Tensor, " params"], distance: float) -> None:
        """Overwrite `point` with `center + distance · direction`."""
        gaussian_into(point[: self.normalization.num_moved], self.seed, self.index)
        self.normalization.displace(point, center, distance)

    def direction(self, center: Float[Tensor, " params"]) -> Float[Tensor, " params"]:
        """Make the direction itself."""
        rows = gaussian(self.seed, [self.index], self.normalization.num_moved).to(center.device, center.dtype)
        return self.normalization.directions(rows, center)[0]
