"""What whole measurements of a network cost, in bare passes over its batches: check, copy and trial included.

    python benchmarks/verbs_speed.py [--repeats 5] [--threads 1] [--only perceptron]

Every call is timed between two rows of bare passes in one process; medians and ranges of the ratios are printed. The
line is also drawn by loss-landscapes if that is installed (`pip install --no-deps loss-landscapes`).
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.models.catalog import build
from ratios import machine, report, seconds

LINE, PLANE, RADII, TOP = 21, 21, 100, 5
BARE = 0.2
"""Seconds that a row of bare passes takes at least."""
Batch = tuple[Tensor, Tensor]


def sample_losses(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of each sample."""
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


def objective(model: nn.Module, batch: Batch, **options: Any) -> bs.Objective:
    """A new objective, as a user's first call needs."""
    return bs.Objective(model, sample_losses, [batch], **options)


def perceptron() -> tuple[nn.Module, Batch]:
    """The swiss roll's network on 200 samples, untrained."""
    torch.manual_seed(0)
    widths = (2, 23, 16, 26, 32, 28, 31, 2)
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(before, after)] + [nn.ReLU()] * (k < len(widths) - 2)
    inputs = torch.randn(200, 2)
    return nn.Sequential(*layers).eval(), (inputs, (inputs.prod(1) > 0).long())


def images(name: str, num: int, width: float) -> tuple[nn.Module, Batch]:
    """A residual network on images of 16 × 16."""
    torch.manual_seed(0)
    return build(name, width=width, size=16).eval(), (torch.randn(num, 3, 16, 16), torch.randint(10, (num,)))


def measured(call: Callable[[], float], model: nn.Module, batch: Batch, repeats: int) -> list[float]:
    """Bare passes that a call takes for each unit that it returns, turn by turn."""

    def bare() -> None:
        with torch.no_grad():
            cross_entropy(model(batch[0]), batch[1])

    bare()
    num = max(1, int(BARE / statistics.median(seconds(bare) for _ in range(5))))

    def row() -> float:
        return statistics.median(seconds(bare) for _ in range(num))

    call()
    passes, before = [], row()
    for _ in range(repeats):
        units = 0.0

        def turn() -> None:
            nonlocal units
            units = call()

        took, after = seconds(turn), row()
        passes.append(took / units / (0.5 * (before + after)))
        before = after
    return passes


def our_line(model: nn.Module, batch: Batch) -> float:
    """Draw a line; return its number of points."""
    return bs.slice1d(objective(model, batch), num_directions=1, resolution=LINE, progress=False)["loss"].size


def our_plane(model: nn.Module, batch: Batch) -> float:
    """Draw a plane; return its number of points."""
    return bs.slice2d(objective(model, batch), resolution=PLANE, progress=False)["loss"].size


def our_radii(model: nn.Module, batch: Batch) -> float:
    """Measure radii; return the number of evaluations."""
    radii = bs.basin_radius(objective(model, batch), num_directions=RADII, progress=False)
    return float(radii["num_evaluations"].sum())


def our_eigenvalues(model: nn.Module, batch: Batch) -> float:
    """Measure the largest eigenvalues; the unit is the call."""
    bs.curvature(objective(model, batch, one_dim="moved"), top=TOP, trace_vectors=0, tolerance=1e-3, progress=False)
    return 1


def their_line(model: nn.Module, batch: Batch) -> float:
    """Draw a line with loss-landscapes, from a copy, because it changes the network."""
    import loss_landscapes
    from loss_landscapes.metrics import Loss

    with torch.no_grad():
        loss_landscapes.random_line(
            copy.deepcopy(model), Loss(cross_entropy, *batch), steps=LINE, normalization="filter", deepcopy_model=True
        )
    return LINE


CASES: dict[str, tuple[Callable[[], tuple[nn.Module, Batch]], dict[str, tuple[Callable[..., float], str]]]] = {
    "swiss-roll perceptron, 200 samples": (
        perceptron,
        {
            f"plane of {PLANE} × {PLANE}, passes a point": (our_plane, "≤ 0.4"),
            f"{RADII} radii to 1 %, passes an evaluation": (our_radii, "≤ 0.5"),
            f"line of {LINE}, passes a point": (our_line, "below loss-landscapes"),
            f"line of {LINE}, loss-landscapes, passes a point": (their_line, "fact"),
        },
    ),
    "ResNet-8 of 8 channels, 128 images": (
        lambda: images("resnet8", 128, 0.5),
        {f"plane of {PLANE} × {PLANE}, passes a point": (our_plane, "≤ 1.0")},
    ),
    "ResNet-20, 512 images": (
        lambda: images("resnet20", 512, 1.0),
        {
            f"plane of {PLANE} × {PLANE}, passes a point": (our_plane, "≤ 1.0"),
            f"top {TOP} eigenvalues, passes": (our_eigenvalues, "≤ 88"),
        },
    ),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a network's name")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    print("| what | target | median | range | repeats |\n|---|---|---|---|---|", flush=True)
    for name, (make, calls) in CASES.items():
        if options.only not in name:
            continue
        model, batch = make()
        for what, (call, target) in calls.items():
            try:
                passes = measured(lambda c=call, m=model, b=batch: c(m, b), model, batch, options.repeats)
            except ModuleNotFoundError as error:
                print(f"| {name}: {what} | {target} | {error.name} is not installed | | |", flush=True)
                continue
            report(f"{name}: {what}", target, passes, decimals=1 if what.startswith("top") else 2)


if __name__ == "__main__":
    main()
