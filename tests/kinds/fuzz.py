"""Random small networks, and every verb compared with dense references.

    python -m tests.kinds.fuzz 500 [--first 0]

prints what was compared, and each disagreement with the seed that reproduces it.
"""

from __future__ import annotations

import argparse
import collections
import copy
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import parametrizations

import basinscope as bs

CLASSES, FEATURES, STEPS = 3, 3, 4


class Perceptron(nn.Module):
    def __init__(self, width: int, activation: type[nn.Module], *, bias: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(FEATURES, width, bias=bias),
            activation(),
            nn.Linear(width, width),
            activation(),
            nn.Linear(width, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Convolutional(nn.Module):
    def __init__(self, width: int, activation: type[nn.Module], *, transposed: bool) -> None:
        super().__init__()
        layer = nn.ConvTranspose2d if transposed else nn.Conv2d
        self.conv, self.norm, self.act = layer(1, width, 3), nn.BatchNorm2d(width), activation()
        self.out = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.act(self.norm(self.conv(x[:, None, :, None].expand(-1, 1, -1, 3)))).mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self, width: int, kind: type[nn.Module]) -> None:
        super().__init__()
        self.rnn, self.out = kind(1, width, batch_first=True), nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.rnn(x[..., None])[0][:, -1])


class Transformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(1, width)
        self.layer = nn.TransformerEncoderLayer(width, 2, width, batch_first=True, activation="gelu")
        self.out = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(self.embed(x[..., None])).mean(1))


class Tied(nn.Module):
    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.a, self.b, self.act = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES), activation()
        self.b.weight = self.a.weight
        self.out, self.unused = nn.Linear(FEATURES, CLASSES), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.b(self.act(self.a(x))))


@dataclass
class Case:
    """One random network with its batches and loss."""

    seed: int
    kind: str
    dtype: torch.dtype
    model: nn.Module
    other: nn.Module
    """A network of the same kind with other weights."""
    plain: nn.Module
    """The same function in double precision, without parametrisations."""
    plain_other: nn.Module
    batches: list[tuple[Tensor, Tensor]]
    form: str
    squared: bool
    settings: dict[str, Any]

    def loss(self, model: Any, batch: tuple[Tensor, Tensor]) -> Any:
        """The user's loss function."""
        losses = self.losses(model(batch[0]), batch[1])
        if self.form == "mean":
            return losses.mean()
        return (losses.sum(), len(losses)) if self.form == "pair" else losses

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of each sample."""
        if self.squared:
            wanted = torch.nn.functional.one_hot(labels, CLASSES).to(outputs)
            return mse_loss(outputs, wanted, reduction="none").mean(1)
        return cross_entropy(outputs, labels, reduction="none")


def make(seed: int) -> Case:
    """A random case; depends on its seed alone."""
    draw = np.random.default_rng(seed)
    activation = [nn.Tanh, nn.ReLU, nn.GELU, nn.Softplus][draw.integers(4)]
    width = int(draw.integers(2, 5))
    kinds = {
        "perceptron": lambda: Perceptron(width, activation, bias=bool(seed % 2)),
        "convolution and BatchNorm": lambda: Convolutional(width, activation, transposed=bool(seed % 2)),
        "recurrent": lambda: Recurrent(width, [nn.GRU, nn.LSTM, nn.RNN][seed % 3]),
        "transformer": lambda: Transformer(4),
        "tied": lambda: Tied(activation),
        "parametrised": lambda: Perceptron(width, activation, bias=True),
    }
    kind = list(kinds)[draw.integers(len(kinds))]
    dtype = [torch.float32, torch.float64][draw.integers(2)]
    features = STEPS if kind in ("recurrent", "transformer") else FEATURES
    sizes = [int(n) for n in draw.integers(1, 7, size=draw.integers(1, 4))]
    torch.manual_seed(seed)
    batches = [(torch.randn(n, features, dtype=dtype), torch.randint(CLASSES, (n,))) for n in sizes]
    pair, plain = [], []
    for _ in range(2):
        model = kinds[kind]().to(dtype)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.running_mean.normal_(0, 0.3)
                    module.running_var.uniform_(0.5, 2)
        model.eval()
        plain.append(copy.deepcopy(model).double())
        if kind == "parametrised":
            wrap = [parametrizations.weight_norm, parametrizations.spectral_norm][seed % 2]
            wrap(model.net[0])
            wrap(model.net[4])
            model(batches[0][0])
            model.eval()
            with torch.no_grad():
                plain[-1].net[0].weight.copy_(model.net[0].weight)
                plain[-1].net[4].weight.copy_(model.net[4].weight)
        pair.append(model)
    settings = {
        "normalization": ["filter", "layer", "gaussian_filter", "sphere"][draw.integers(4)],
        "one_dim": ["fixed", "moved"][draw.integers(2)],
        "points_at_once": [None, 1, 4][draw.integers(3)],
    }
    form = ["samples", "mean", "pair"][draw.integers(3)]
    return Case(seed, kind, dtype, *pair, *plain, batches, form, bool(draw.integers(2)), settings)


class Reference:
    """The loss and its derivatives, densely, in double precision."""

    def __init__(self, case: Case, objective: bs.Objective) -> None:
        self.case, self.names = case, [f.name for f in objective.filters]
        own = dict(case.plain.named_parameters())
        self.shapes = [own[name].shape for name in self.names]
        self.center = torch.cat([own[name].detach().reshape(-1) for name in self.names])

    def loss(self, flat: Tensor) -> Tensor:
        """Mean loss over all samples at a point."""
        parts = zip(self.names, flat.split([s.numel() for s in self.shapes]), self.shapes, strict=True)
        point = {name: part.reshape(shape) for name, part, shape in parts}
        losses = [
            self.case.losses(functional_call(self.case.plain, point, (x.double(),)), y) for x, y in self.case.batches
        ]
        return torch.cat(losses).mean()

    def at(self, *steps: tuple[Any, float]) -> float:
        """Mean loss along directions."""
        point = self.center.clone()
        for direction, distance in steps:
            point += distance * self.flat(direction)
        return float(self.loss(point).detach())

    def flat(self, direction: Any) -> Tensor:
        """A direction as one vector."""
        return torch.cat([direction.block(place).double().reshape(-1) for place in range(len(self.names))])

    def derivatives(self) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian."""
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            return (
                torch.autograd.functional.jacobian(self.loss, self.center),
                torch.autograd.functional.hessian(self.loss, self.center),
            )

    def between(self, t: float) -> float:
        """Loss on the line to the other network, BatchNorm's statistics renewed."""
        model = copy.deepcopy(self.case.plain)
        norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
        with torch.no_grad():
            for parameter, end in zip(model.parameters(), self.case.plain_other.parameters(), strict=True):
                parameter.copy_((1 - t) * parameter + t * end)
            if norms:
                _renew(model, norms, self.case.batches)
            losses = [self.case.losses(model(x.double()), y) for x, y in self.case.batches]
            return float(torch.cat(losses).mean())


def _renew(model: nn.Module, norms: list[nn.BatchNorm2d], batches: list[tuple[Tensor, Tensor]]) -> None:
    """Statistics of each layer as means over batches, weighted by their samples."""
    sums = [[0.0, 0.0] for _ in norms]
    model.train()
    for x, y in batches:
        for norm in norms:
            norm.momentum = 1.0
        model(x.double())
        for total, norm in zip(sums, norms, strict=True):
            total[0] = total[0] + len(y) * norm.running_mean.clone()
            total[1] = total[1] + len(y) * norm.running_var.clone()
    model.eval()
    num = sum(len(y) for _, y in batches)
    for total, norm in zip(sums, norms, strict=True):
        norm.running_mean.copy_(total[0] / num)
        norm.running_var.copy_(total[1] / num)


def compared(seed: int) -> Iterator[tuple[str, bool, str]]:
    """Compare every verb with its reference: what, whether they agree, and the numbers."""
    case = make(seed)
    objective = bs.Objective(case.model, case.loss, case.batches, **case.settings)
    objective.check()
    reference = Reference(case, objective)
    single = case.dtype == torch.float32
    loose = 2e-4 if single else 1e-7

    def near(what: str, found: float, wanted: float, scale: float = 0.0) -> tuple[str, bool, str]:
        limit = loose * max(abs(wanted), scale, 1e-3)
        return what, bool(abs(found - wanted) <= limit), f"{found!r} {wanted!r}"

    yield near("center_loss", objective.center_loss, reference.at())
    gradient, hessian = reference.derivatives()
    found = torch.cat([part.double().reshape(-1) for part in objective.gradient_at()[1]])
    yield near("gradient", float((found - gradient).norm()), 0.0, float(gradient.norm()) + 0.1)
    line = bs.slice1d(objective, num_directions=2, resolution=7, seed=seed, progress=False)
    for ray in range(2):
        direction = objective.direction(seed, ray)
        for distance, loss in zip(line["distance"].values, line["loss"].values[ray], strict=True):
            yield near("slice1d", float(loss), reference.at((direction, float(distance))), objective.center_loss)
    plane = bs.slice2d(objective, resolution=3, seed=seed, progress=False)
    axes = objective.orthogonal(seed, (0, 1))
    for a, row in zip(plane["first"].values, plane["loss"].values, strict=True):
        for b, loss in zip(plane["second"].values, row, strict=True):
            yield near("slice2d", float(loss), reference.at((axes[0], a), (axes[1], b)), objective.center_loss)
    yield from _radii(objective, reference, seed, loose)
    yield from _curvature(objective, reference, hessian, seed, near)
    yield from _ball(objective, reference, gradient, loose)
    if min(len(y) for _, y in case.batches) > 1 or case.kind != "convolution and BatchNorm":
        path = bs.linear_path(objective, case.other, resolution=4, beyond=0, progress=False)["loss"].values[0]
        wanted = [reference.at(), reference.between(1 / 3), reference.between(2 / 3)]
        for got, right in zip(path, wanted, strict=False):
            yield near("linear_path", float(got), right, 1.0)
        own = bs.Objective(case.other, case.loss, case.batches).center_loss
        yield near("linear_path's end", float(path[-1]), own)


def _radii(objective: bs.Objective, reference: Reference, seed: int, loose: float) -> Iterator[tuple[str, bool, str]]:
    radii = bs.basin_radius(objective, num_directions=3, seed=seed, progress=False)
    cutoff = float(radii["cutoff"])
    for ray, status in enumerate(radii["status"].values):
        if status != 0:
            continue
        direction = objective.direction(seed, ray)
        inside, outside = (reference.at((direction, float(radii[end][ray]))) for end in ("lower", "upper"))
        slack = 10 * loose * max(cutoff, 1.0)
        fine = inside <= cutoff + slack and outside >= cutoff - slack
        yield "basin_radius", bool(fine), f"{inside} {cutoff} {outside}"


def _curvature(
    objective: bs.Objective, reference: Reference, hessian: Tensor, seed: int, near: Any
) -> Iterator[tuple[str, bool, str]]:
    values = torch.linalg.eigvalsh(hessian)
    size = float(values.abs().max())
    if size < 1e-4:
        return
    found = bs.curvature(objective, top=1, seed=seed, tolerance=1e-4, progress=False)
    if int(found["status"][0]) == 0:
        yield near("eigenvalue", float(found["eigenvalue"][0]), float(values[-1]), 5 * size)
    error = 6 * float(found["trace_stderr"]) + 1e-3 * size
    trace = float(torch.diagonal(hessian).sum())
    yield "trace", bool(abs(float(found["trace"]) - trace) <= error), f"{float(found['trace'])} {trace} {error}"
    mean = bs.mean_curvature(objective, num_directions=2, seed=seed, progress=False)
    for ray in range(2):
        flat = reference.flat(objective.direction(seed, ray))
        yield near(
            "mean_curvature", float(mean["curvature"][ray]), float(flat @ hessian @ flat), size * float(flat @ flat)
        )


def _ball(
    objective: bs.Objective, reference: Reference, gradient: Tensor, loose: float
) -> Iterator[tuple[str, bool, str]]:
    found = bs.sharpness(objective, rho=0.01, num_random=8, progress=False)
    if not float(gradient.norm()) > 1e-3:
        return
    ahead = float(reference.loss(reference.center + 0.01 * gradient / gradient.norm()).detach()) - reference.at()
    worst = float(found["worst"])
    enough = worst >= ahead * (1 - 1e-2) - 20 * loose * 1e-2
    yield "sharpness", bool(enough and math.isfinite(worst)), f"{worst} at least {ahead}"


def main() -> int:
    """Compare many cases and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("num", type=int)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    began, counts, wrong = time.perf_counter(), collections.Counter(), []
    for seed in range(options.first, options.first + options.num):
        try:
            for what, agrees, numbers in compared(seed):
                counts[what] += 1
                if not agrees:
                    wrong.append(f"seed {seed} ({make(seed).kind}): {what}: {numbers}")
        except Exception as error:
            wrong.append(f"seed {seed} ({make(seed).kind}): {type(error).__name__}: {error}")
    lines = [f"{options.num} networks, {time.perf_counter() - began:.0f} s; compared: {dict(counts)}"]
    sys.stdout.write("\n".join([*lines, f"{len(wrong)} disagreements", *wrong, ""]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
