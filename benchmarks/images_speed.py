"""How fast radii of networks for images are, as ratios within one process on the same threads.

    python benchmarks/images_speed.py [--images 5000] [--net resnet20] [--repeats 3] [--directions 6] [--threads 2]

Ways are run in turn, A B A B …; the median and the whole range over the repeats are printed. Machines are noisy: read
the range before the median. Passes over the training set are counted, so they carry no noise.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from basinscope.data.images import Images, ImageTask
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import Evaluation, StreamedLoss
from basinscope.losses import cross_entropy
from basinscope.models.catalog import build, initialize, num_parameters
from basinscope.probes.radius import basin_radius
from basinscope.probes.search.sequential import search_one_by_one
from basinscope.runs.provenance import forget_peak_memory, peak_memory_mib
from basinscope.seeds import generator
from basinscope.training.schedules import Schedule
from basinscope.training.single import Recipe, SingleTrainer
from ratios import divided, head, in_turn, machine, ratios, report, seconds

CUTOFF, TOLERANCE = 0.1, 0.01
BATCH = 125
GRID, FINE_GRID = 12, 100
"""Points along a ray: the authors' quadratic grid, and one that finds a radius to 1 %."""
TIMED = (0.1, 0.4, 1.0)
"""Distances at which the authors' passes are timed; other passes cost the same."""
SETTLED = 0.02
"""Clean loss in nats that leaves room below the cutoff."""
SIZE, NUM_ANGLES, WAVELENGTHS = 32, 5, (4.0, 8.0)
MEMORY_IMAGES = 8


def gratings(num: int, part: str) -> Images:
    """Draw noisy colour gratings: the class tells angle and wavelength, phase and contrasts are random."""
    stream = generator(0, "gratings", part)
    labels = torch.arange(num) % (NUM_ANGLES * len(WAVELENGTHS))
    angle = (labels % NUM_ANGLES * math.pi / NUM_ANGLES).view(-1, 1, 1)
    wavelength = torch.tensor(WAVELENGTHS)[labels // NUM_ANGLES].view(-1, 1, 1)
    along = torch.arange(SIZE)
    across = along[:, None] * angle.sin() + along * angle.cos()
    phase = 2 * math.pi * torch.rand(num, 1, 1, generator=stream)
    contrast = 0.2 + 0.8 * torch.rand(num, 3, 1, 1, generator=stream)
    waves = contrast * torch.cos(2 * math.pi * across / wavelength + phase)[:, None]
    noise = 0.5 * torch.randn(num, 3, SIZE, SIZE, generator=stream)
    pixels = (255 * (0.5 + 0.2 * (waves + noise))).clamp(0, 255).round().to(torch.uint8)
    return Images(pixels, labels, (0.5,) * 3, (0.2,) * 3)


def minimum(net: str, width: float, train: Images) -> nn.Module:
    """Train a network briefly, with longer courses until its clean loss is small."""
    task = ImageTask("gratings", train, gratings(10, "unseen"), gratings(200, "test"))
    model = build(net, width=width)
    for steps in (200, 400, 800):
        recipe = Recipe(schedule=Schedule(steps=steps, learning_rate=0.1, warmup=0.1), batch_size=BATCH)
        result = SingleTrainer(model, task, recipe, seed=0).train()
        if result.clean_loss <= SETTLED:
            # A network as one loads it, not in the memory format that training prefers.
            model = build(net, width=width)
            model.load_state_dict(result.state)
            facts = f"{num_parameters(model):,} parameters, {len(train):,} images of 3×{SIZE}×{SIZE}, {steps} updates"
            print(f"{net}: {facts}, {100 * result.train_accuracy:.1f} % right, clean loss {result.clean_loss:.2g}")
            return model.eval()
    raise SystemExit(f"{net}: clean loss {result.clean_loss:.2g} after {steps} updates: choose a wider or deeper net")


def batches(train: Images) -> list[tuple[Tensor, Tensor]]:
    """Normalise all images once and cut them into batches."""
    return list(zip(train.inputs().split(BATCH), train.labels.split(BATCH), strict=True))


def bare_pass(model: nn.Module, train: Images) -> Callable[[], None]:
    """One forward pass of the ordinary module over all images."""
    kept = batches(train)

    @torch.no_grad()
    def work() -> None:
        for inputs, _ in kept:
            model(inputs)

    return work


def authors_passes(model: nn.Module, train: Images, distances: Sequence[float]) -> Callable[[], list[float]]:
    """Write moved weights into the module and take the mean loss over the whole set, once a distance."""
    moved, kept, layout = copy.deepcopy(model), batches(train), StreamedLoss(model, train).layout
    center = nn.utils.parameters_to_vector(model.parameters()).detach()
    direction = Ray(Normalization(layout), 0, 0).direction(center)

    @torch.no_grad()
    def work() -> list[float]:
        losses = []
        for distance in distances:
            nn.utils.vector_to_parameters(center + distance * direction, moved.parameters())
            sums = [float(cross_entropy(moved(inputs), labels).sum()) for inputs, labels in kept]
            losses.append(sum(sums) / len(train))
        return losses

    return work


class Unhurried(StreamedLoss):
    """The same landscape, evaluated to the end whatever the limit."""

    def look_along(self, center: Tensor, ray: Ray, distance: float, *, limit: float = math.inf) -> Evaluation:
        del limit
        return super().look_along(center, ray, distance)


@dataclass(frozen=True)
class Found:
    """What one way of measuring radii gave."""

    radius: np.ndarray
    spent: np.ndarray
    """Passes along each ray, the look at the centre left out."""
    passes: float
    """Passes a ray over all, the look at the centre included."""


def measured(landscape: StreamedLoss, num: int, cutoff: float = CUTOFF) -> Found:
    """Radii as they are measured, one ray after another."""
    found = basin_radius(
        landscape,
        landscape.minimum,
        Normalization(landscape.layout),
        seed=0,
        indices=range(num),
        cutoff=cutoff,
        tolerance=TOLERANCE,
    )
    return Found(found["radius"].to_numpy(), found["num_evaluations"].to_numpy(), landscape.num_evaluations / num)


def each_cold(model: nn.Module, train: Images, num: int) -> Found:
    """The same radii, each searched as a first ray is, in a landscape of its own; one look at the centre in all."""
    radius, spent = np.empty(num), np.empty(num)
    for index in range(num):
        landscape = StreamedLoss(model, train, batch_size=BATCH)
        if not index:
            landscape.at(landscape.minimum[None])
        line = landscape.line(landscape.minimum, Ray(Normalization(landscape.layout), 0, index))
        (rays,) = search_one_by_one([line], cutoff=CUTOFF, tolerance=TOLERANCE)
        radius[index], spent[index] = math.exp(0.5 * (rays.low[0] + rays.high[0])), rays.spent[0]
    return Found(radius, spent, (spent.sum() + 1) / num)


def bench_evaluation(model: nn.Module, train: Images, repeats: int) -> None:
    """One streamed evaluation against one bare forward pass."""
    landscape = StreamedLoss(model, train, batch_size=BATCH)
    ray, distance = Ray(Normalization(landscape.layout), 0, 0), 0.1

    def streamed() -> None:
        landscape.look_along(landscape.minimum, ray, distance)

    bare = bare_pass(model, train)
    found = ratios(streamed, bare, repeats)
    report("one streamed evaluation ÷ one bare forward pass", "≤ 1.1", found, decimals=2)
    each = min(seconds(bare) for _ in range(3))
    print(f"  {len(train) / each:,.0f} images a second in bare forward passes", flush=True)


def bench_radius(model: nn.Module, train: Images, num: int, repeats: int) -> None:
    """Radii to 1 % against whole passes on a grid, against radii without early exit, and against cold ones."""
    found: dict[str, Found] = {}

    def noted(name: str, measure: Callable[[], Found]) -> Callable[[], None]:
        def work() -> None:
            found[name] = measure()

        return work

    took = in_turn(
        {
            "authors": authors_passes(model, train, TIMED),
            "radii": noted("radii", lambda: measured(StreamedLoss(model, train, batch_size=BATCH), num)),
            "unhurried": noted("unhurried", lambda: measured(Unhurried(model, train, batch_size=BATCH), num)),
            "cold": noted("cold", lambda: each_cold(model, train, num)),
        },
        repeats,
    )
    passes = divided(took["authors"], took["radii"])
    for points, target in ((GRID, "≥ 3"), (FINE_GRID, "≥ 25")):
        name = f"{points} whole-set passes, of which {len(TIMED)} are timed ÷ one radius to 1 %, mean of {num}"
        report(name, target, [r * points / len(TIMED) * num for r in passes])
    report("radii without early exit ÷ with it", "fact", divided(took["unhurried"], took["radii"]), decimals=2)
    report("radii each searched cold ÷ one after another", "fact", divided(took["cold"], took["radii"]), decimals=2)
    radii, first, later = found["radii"], found["radii"].spent[0], found["radii"].spent[1:]
    print(f"\npasses a radius: {radii.passes:.2f} (first {first:.2f}, later {later.min():.2f} – {later.max():.2f})")
    print(f"  without early exit {found['unhurried'].passes:.2f}; each cold {found['cold'].passes:.2f}")
    apart = max(float(np.abs(other.radius / radii.radius - 1).max()) for other in found.values())
    smallest, largest = radii.radius.min(), radii.radius.max()
    print(f"  radii {smallest:.3g} – {largest:.3g}, at most {100 * apart:.2g} % apart among the three ways")


def print_memory(num: int) -> None:
    """Measure radii of an untrained ResNet-18 in a process that is small still, and print how far it grew."""
    model, train = build("resnet18"), gratings(MEMORY_IMAGES, "memory")
    initialize(model, generator(0, "memory"))
    bare_pass(model.eval(), train)()
    forget_peak_memory()
    before = peak_memory_mib()
    landscape = StreamedLoss(model, train, batch_size=MEMORY_IMAGES)
    # Untrained, it has no basin below the usual cutoff; twice the centre's loss bounds one that takes as much memory.
    found = measured(landscape, num, cutoff=2 * float(landscape.at(landscape.minimum[None])[0]))
    grown, own = peak_memory_mib() - before, num_parameters(model) * 4 / 2**20
    print(
        f"memory: {num} radii of a ResNet-18 ({own:.1f} MiB of parameters, {MEMORY_IMAGES} images; radius "
        f"{np.median(found.radius):.2g}) took {grown:.0f} MiB beside the network: {grown / own:.2f} × its parameters"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--net", default="resnet20")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--directions", type=int, default=6, help="rays whose radii are measured, at least 2")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    print_memory(min(3, options.directions))
    train = gratings(options.images, "training")
    model = minimum(options.net, options.width, train)
    print()
    head()
    bench_evaluation(model, train, options.repeats)
    bench_radius(model, train, max(2, options.directions), options.repeats)


if __name__ == "__main__":
    main()
