"""How naturally trained networks score on other draws of the swiss roll: does the default draw hide anything?

    python benchmarks/natural_draws.py [--draws 24] [--starts 5]

Every network is trained as the natural networks of the preset `quick` are, all of them in one stack.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from basinscope.data import swissroll
from basinscope.experiments.swissroll.config import PRESETS
from basinscope.experiments.swissroll.tasks import NET, accuracy, dense_test_set, schedule_of
from basinscope.seeds import child_seed
from basinscope.training.ensemble import StackTrainer
from basinscope.training.members import Member


def main() -> None:
    """Train, score and print one row a draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--starts", type=int, default=5)
    options = parser.parse_args()
    config = PRESETS["quick"]
    draws: list[int | None] = [None, *range(options.draws)]
    members = [
        Member(
            name=f"{draw}-{start}",
            seed=child_seed(0, "draws", str(draw), start),
            schedule=schedule_of(config, 0.0),
            train=swissroll.training_draw(draw)[0],
        )
        for draw in draws
        for start in range(options.starts)
    ]
    result = StackTrainer(NET, members).train()
    scores = []
    print("| draw | train | dense test, median | range |\n|---|---|---|---|")
    for k, draw in enumerate(draws):
        rows = slice(k * options.starts, (k + 1) * options.starts)
        dense = accuracy(result.points[rows], dense_test_set(draw, config.num_dense)).numpy()
        scores.append(dense)
        train = result.train_accuracy[rows].min().item()
        name = "published" if draw is None else str(draw)
        print(f"| {name} | {train:.1%} | {np.median(dense):.1%} | {dense.min():.1%} – {dense.max():.1%} |")
    others = np.concatenate(scores[1:])
    print(
        f"\n{len(others)} networks on {options.draws} other draws: median {np.median(others):.1%}, "
        f"range {others.min():.1%} – {others.max():.1%}; below 98 %: {np.mean(others < 0.98):.0%}; "
        f"training set fitted: {np.mean(result.train_accuracy.numpy() == 1):.0%} (torch {torch.__version__})"
    )


if __name__ == "__main__":
    main()
