"""Labelled samples, and the protocol of distributions to draw more from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from basinscope.errors import InputError


@dataclass(frozen=True)
class Samples:
    """Inputs and their class labels."""

    inputs: Float[Tensor, "samples *features"]
    """Coordinates, in the data's own units."""
    labels: Int[Tensor, " samples"]
    """Class indices from 0."""

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels):
            raise InputError(f"{len(self.inputs)} inputs and {len(self.labels)} labels: give one label for each input")
        if self.labels.is_floating_point():
            raise InputError(f"labels of type {self.labels.dtype}: give class indices, for example labels.long()")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Samples:
        """Copy to a device, inputs in `dtype`."""
        return Samples(self.inputs.to(device, dtype), self.labels.to(device))


@runtime_checkable
class Sampler(Protocol):
    """A distribution from which fresh labelled samples are drawn."""

    def __call__(self, num: int, generator: torch.Generator) -> Samples:
        """Draw `num` independent samples; the same generator state gives the same samples."""
        ...
