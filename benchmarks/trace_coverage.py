"""How often the 95 % intervals of `curvature` cover: of the trace by XTrace, and of the density over random starts.

    python benchmarks/trace_coverage.py [--repeats 400] [--vectors 6 10 20] [--starts 4 8]

Spectra of several shapes, as diagonal matrices (estimates from Gaussian vectors do not depend on the basis), and the
Hessians of small networks in float64, at their random start and trained. Intervals are ± 1.96 standard errors. Beside
the coverage: the root mean square of the standard error over that of the true errors, and the coverage of s/√m, the
standard error that XTrace's estimates would have if they shared no basis.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from basinscope.probes.lanczos import spectral_density
from basinscope.probes.trace import trace
from basinscope.seeds import child_seed, generator
from ratios import machine

SIZE, NUM_SAMPLES, UPDATES = 150, 60, 400
NORMAL = 1.96
FOOT, WIDTH = 1e-3, 0.05
"""Share of the largest density below which others are left out; standard deviation of the smoothing."""


def spectra() -> dict[str, np.ndarray]:
    """Eigenvalues of several shapes."""
    rank = np.arange(SIZE)
    found = {
        "fast decay, 0.7^k": 0.7**rank,
        "slow decay, 1/k": 1 / (1 + rank),
        "very slow decay, 1/√k": (1 + rank) ** -0.5,
        "flat, 0.5 to 1": np.linspace(0.5, 1, SIZE),
        "indefinite, −1 to 1": np.linspace(-1, 1, SIZE),
        "outliers above an indefinite bulk": np.r_[10, 8, 6, 5, 4, 3, np.linspace(-1, 1, SIZE - 6)],
    }
    return found | {
        f"Hessian, {name}": np.linalg.eigvalsh(hessian(widths, seed, updates))
        for name, widths, seed, updates in (
            ("6-8-8-3, random start", (6, 8, 8, 3), 0, 0),
            ("6-8-8-3, trained", (6, 8, 8, 3), 0, UPDATES),
            ("10-12-4, trained", (10, 12, 4), 1, UPDATES),
        )
    }


def hessian(widths: Sequence[int], seed: int, updates: int) -> np.ndarray:
    """The Hessian of a small network's cross-entropy by all its parameters, after some full-batch updates."""
    stream = generator(seed, "trace coverage")
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(widths):
        layers += [nn.Linear(fan_in, fan_out), nn.Tanh()]
    net = nn.Sequential(*layers[:-1]).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * parameter.shape[-1] ** -0.5)
    inputs = torch.randn(NUM_SAMPLES, widths[0], generator=stream).double()
    labels = torch.randint(widths[-1], (NUM_SAMPLES,), generator=stream)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(updates):
        optimizer.zero_grad()
        cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    shapes = {name: parameter.shape for name, parameter in net.named_parameters()}

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes.values()])
        placed = {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}
        return cross_entropy(torch.func.functional_call(net, placed, (inputs,)), labels)

    point = torch.cat([parameter.detach().reshape(-1) for parameter in net.parameters()])
    matrix = torch.autograd.functional.hessian(loss, point)
    assert isinstance(matrix, Tensor)
    return matrix.numpy()


def trace_row(values: np.ndarray, num: int, repeats: int) -> tuple[float, float, float]:
    """Coverage of ± 1.96 standard errors, their root mean square over the true spread, and coverage of s/√m."""
    entries = torch.from_numpy(values)
    found = np.array(
        [
            trace(lambda v: entries * v, len(values), num, like=entries, seed=child_seed(0, "coverage", k))
            for k in range(repeats)
        ]
    )
    off, error = found[:, 0] - values.sum(), found[:, 1]
    naive = np.array([shared_nothing(entries, num, child_seed(0, "coverage", k)) for k in range(repeats)])
    return (
        float(np.mean(np.abs(off) <= NORMAL * error)),
        float(np.sqrt(np.mean(error**2)) / off.std()),
        float(np.mean(np.abs(off) <= NORMAL * naive)),
    )


def shared_nothing(entries: Tensor, num: int, seed: int) -> float:
    """s/√m of XTrace's estimates on a diagonal matrix, each from a basis made for it alone."""
    tests = torch.randn(len(entries), num, generator=torch.Generator().manual_seed(seed)).to(entries)
    images, estimates = entries[:, None] * tests, []
    for k in range(num):
        basis, _ = torch.linalg.qr(torch.cat([images[:, :k], images[:, k + 1 :]], dim=1))
        rest = tests[:, k] - basis @ (basis.T @ tests[:, k])
        mean = float((entries * rest**2).sum() / (rest @ rest))
        estimates.append(float((entries[:, None] * basis**2).sum()) + (len(entries) - num + 1) * mean)
    return float(np.std(estimates, ddof=1)) / math.sqrt(num)


def density_row(values: np.ndarray, starts: int, steps: int, repeats: int) -> tuple[float, float]:
    """Coverage of the smoothed density by ± 1.96 standard errors, and their size over that of the errors."""
    entries, covered = torch.from_numpy(values), []
    for k in range(repeats):
        stream = generator(0, "density coverage", k)
        found = spectral_density(
            lambda v: entries * v,
            lambda _, stream=stream: torch.randn(len(values), generator=stream).double(),
            num_starts=starts,
            steps=min(steps, len(values)),
            width=WIDTH,
        )
        spread = WIDTH * (found.value[-1] - found.value[0]) / (1 + 10 * WIDTH)
        away = (found.value[:, None] - values) / spread
        exact = np.exp(-0.5 * away**2).mean(1) / (spread * math.sqrt(2 * math.pi))
        shown = exact > FOOT * exact.max()
        off = np.abs(found.density - exact)[shown]
        error = found.stderr[shown]
        covered.append([np.mean(off <= NORMAL * error), np.sqrt(np.mean(error**2) / np.mean(off**2))])
    covers, ratio = np.mean(covered, axis=0)
    return float(covers), float(ratio)


def print_traces(known: Mapping[str, np.ndarray], chosen: Sequence[int], repeats: int) -> None:
    """Print one row for each spectrum and number of vectors."""
    print("| spectrum | vectors | covers | error ÷ spread | s/√m covers |\n|---|---|---|---|---|", flush=True)
    covers, naive = [], []
    for name, values in known.items():
        for num in chosen:
            cover, ratio, other = trace_row(values, num, repeats)
            covers.append(cover)
            naive.append(other)
            print(f"| {name} | {num} | {cover:.1%} | {ratio:.2f} | {other:.1%} |", flush=True)
    print(f"\nmean {np.mean(covers):.1%}, worst {min(covers):.1%}; s/√m: {np.mean(naive):.1%}, {min(naive):.1%}\n")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--vectors", type=int, nargs="+", default=[6, 10, 20])
    parser.add_argument("--starts", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    print(f"{machine()}; {options.repeats} repeats\n")
    known = spectra()
    print_traces(known, options.vectors, options.repeats)
    print("| spectrum | starts | density covers | error ÷ spread |\n|---|---|---|---|", flush=True)
    for name, values in known.items():
        for starts in options.starts:
            cover, ratio = density_row(values, starts, options.steps, max(1, options.repeats // 8))
            print(f"| {name} | {starts} | {cover:.1%} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
