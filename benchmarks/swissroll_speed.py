"""How fast the swiss-roll measurements are, as ratios within one process on the same threads.

    python benchmarks/swissroll_speed.py [--repeats 7] [--threads 2]

Each ratio compares two ways that are run in turn, A B A B …; the median and the whole range over the repeats are
printed. Machines are noisy: read the range before the median.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn

from basinscope.data import swissroll
from basinscope.experiments.swissroll.tasks import NET, NORMALIZATION
from basinscope.landscape.stacked import Backend, CleanLoss
from basinscope.losses import cross_entropy
from basinscope.probes.radius import basin_radius
from basinscope.training.ensemble import StackTrainer
from basinscope.training.members import Member
from basinscope.training.schedules import Schedule
from ratios import head, machine, ratios, report, seconds

CUTOFF = 0.1
GRID = 100
"""Evaluations of a radius on the authors' grid."""


def minima() -> dict[str, Tensor]:
    """Train a good and a bad net, briefly."""
    train, _ = swissroll.training_draw()
    found = {}
    for name, poison in (("good", 0.0), ("bad", 0.3)):
        schedule = Schedule(steps=6000, learning_rate=0.01, poison=poison)
        member = Member(name=name, seed=0, schedule=schedule, train=train)
        trainer = StackTrainer(NET, [member], sampler=swissroll.sample_swissroll, num_unseen=400 if poison else 0)
        found[name] = trainer.train().points[0]
    return found


def forwards(module: nn.Module, inputs: Tensor, num: int) -> Callable[[], None]:
    """`num` bare forward passes of the ordinary module, one after another."""

    @torch.no_grad()
    def work() -> None:
        for _ in range(num):
            module(inputs)

    return work


def matmul_rate() -> float:
    """Floating-point operations a second of a large float32 matrix product: the machine's limit."""
    a = torch.randn(1536, 1536)
    best = min(seconds(lambda: a @ a) for _ in range(15))
    return 2 * 1536**3 / best


def evaluation_flops() -> int:
    """Floating-point operations of one evaluation on 200 points."""
    weights = sum(shape.numel() for shape in NET.layout.shapes if len(shape) == 2)
    return 2 * weights * 200


def bench_radius(backends: tuple[Backend, ...], repeats: int) -> None:
    """One radius, directions included, against 100 forward passes; one evaluation against one forward pass."""
    train = swissroll.training_draw()[0].to("cpu", torch.float32)
    peak = matmul_rate()
    for name, center in minima().items():
        module = NET.as_module(center)
        for backend in backends:
            landscape = CleanLoss(NET, train, backend=backend)
            num = 3000

            def measure(landscape: CleanLoss = landscape, center: Tensor = center, num: int = num) -> None:
                basin_radius(landscape, center, NORMALIZATION, seed=0, indices=range(num), cutoff=CUTOFF)

            target = "≥ 100" if backend == "compiled" else "≥ 50"
            passes = forwards(module, train.inputs, 3000)
            found = [r * GRID for r in ratios(passes, measure, repeats)]
            report(f"radius to 0.1 %, {name} net, {backend}: 100 forward passes ÷ one radius", target, found)

            points = center.expand(landscape.chunk_size, -1).contiguous()
            passes = forwards(module, train.inputs, landscape.chunk_size * 10)

            def evaluate(landscape: CleanLoss = landscape, points: Tensor = points) -> None:
                for _ in range(10):
                    landscape.at(points)

            target = "≥ 5" if backend == "compiled" else "≥ 3"
            report(
                f"one forward pass ÷ one batched evaluation, {backend}",
                target,
                ratios(passes, evaluate, repeats),
            )
            each = min(seconds(evaluate) for _ in range(7)) / len(points) / 10
            share = evaluation_flops() / each / peak
            print(f"  {1e6 * each:.1f} µs an evaluation, {100 * share:.0f} % of {peak / 1e9:.0f} Gflop/s")


def train_alone(member: Member, steps: int) -> None:
    """Train one ordinary module with torch's own optimizer: what one would write for a single net."""
    module = NET.as_module(NET.initialize(torch.Generator().manual_seed(member.seed)))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    train = member.train.to("cpu", torch.float32)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(module(train.inputs), train.labels).mean().backward()
        nn.utils.clip_grad_norm_(module.parameters(), 8.0)
        optimizer.step()


def bench_stack(repeats: int) -> None:
    """A stack of 64 nets against the same nets one after another."""
    train, _ = swissroll.training_draw()
    steps = 100
    schedule = Schedule(steps=steps, learning_rate=0.01, patience=0.0)
    members = [Member(name=str(k), seed=k, schedule=schedule, train=train) for k in range(64)]

    def together() -> None:
        StackTrainer(NET, members, chunk_size=16).train()

    def one_by_one() -> None:
        for member in members[:8]:
            train_alone(member, steps)

    found = [8 * r for r in ratios(one_by_one, together, repeats)]
    report("64 nets one after another (module and Adam of torch) ÷ a stack of 64", "≥ 6", found)
    each = min(seconds(together) for _ in range(3)) / 64 / steps
    print(f"  {1e6 * each:.0f} µs a net and step in the stack")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{machine()}\n")
    head()
    bench_radius(("eager",) if options.no_compile else ("eager", "compiled"), options.repeats)
    bench_stack(options.repeats)


if __name__ == "__main__":
    main()
