"""Whether `bs.align` recovers known permutations of units, and what it does to the barrier between trained networks.

    python benchmarks/alignment.py [--trials 100] [--seeds 5] [--large 3]

First, the units of networks with random weights are shuffled, and recovered or not, tensor for tensor. Then pairs of
networks are trained from different starts on scikit-learn's digits; printed are the median and range over the pairs of
the barrier of the straight line: the largest rise of the test loss above the interpolation of both ends.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.models.catalog import build
from ratios import machine

LARGE = 1_000_000
"""Entries above which a network counts as large."""


def sample_losses(model: nn.Module, batch: Any) -> Tensor:
    """Cross-entropy of each sample."""
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


class Recurrent(nn.Module):
    """Two layers of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.LSTM(8, 32, num_layers=2, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Class logits from the last step."""
        return self.out(self.rnn(x)[0][:, -1])


def perceptron(width: int) -> nn.Module:
    """A perceptron with two hidden layers."""
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def convolutional(width: int) -> nn.Module:
    """Three convolutions with BatchNorm."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, 10),
    )


def cases() -> Iterator[tuple[str, nn.Module, list[Any], Callable[[Any, Any], Any]]]:
    """Networks with random weights, each with a batch and a loss."""
    labels, images = torch.arange(8) % 10, torch.randn(8, 3, 32, 32)
    yield "perceptron 64-128-128-10", perceptron(128), [(torch.randn(8, 64), labels)], sample_losses
    for name in ("vgg13", "resnet8", "resnet20", "resnet18"):
        yield name, build(name), [(images, labels)], sample_losses
    yield "LSTM, two layers of 32", Recurrent(), [(torch.randn(8, 6, 8), labels)], sample_losses
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ModuleNotFoundError:
        return
    config = GPT2Config(n_layer=4, n_head=4, n_embd=64, n_positions=32, vocab_size=200, bos_token_id=0, eos_token_id=0)
    tokens = torch.randint(200, (4, 32))
    batch = {"input_ids": tokens, "labels": tokens}
    yield "GPT-2, 4 layers of 64", GPT2LMHeadModel(config), [batch], lambda model, batch: model(**batch).loss


def recovered(usual: int, large: int) -> Iterator[str]:
    """Rows of the first table; networks of more than a million entries take minutes, and fewer trials."""
    for name, model, batches, loss_fn in cases():
        trials = large if sum(tensor.numel() for tensor in model.parameters()) > LARGE else usual
        model.eval()
        with torch.no_grad():
            for tensor in model.parameters():
                tensor.add_(0.05 * torch.randn_like(tensor))
        objective = bs.Objective(model, loss_fn, batches)
        # Tied tensors once, under their first name.
        own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        symmetry = objective.permutable().symmetry
        count, began = 0, time.perf_counter()
        for seed in range(trials):
            stream = np.random.default_rng(seed)
            shuffled = symmetry.permuted(own, [stream.permutation(size) for size in symmetry.sizes])
            found = bs.align(objective, shuffled)
            count += all(torch.equal(found[key], own[key]) for key, _ in model.named_parameters())
        seconds = (time.perf_counter() - began) / max(1, trials)
        yield f"| {name} | {len(symmetry.sizes)} ({sum(symmetry.sizes)}) | {count} of {trials} | {seconds:.2f} |"


def trained(make: Callable[[], nn.Module], seed: int, inputs: Tensor, labels: Tensor) -> nn.Module:
    """A network trained in batches of 64."""
    torch.manual_seed(seed)
    model = make().train()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3, weight_decay=1e-4)
    for _ in range(30):
        for chosen in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            cross_entropy(model(inputs[chosen]), labels[chosen]).backward()
            optimizer.step()
    return model.eval()


def barriers(seeds: int) -> Iterator[str]:
    """Rows of the second table."""
    data = load_digits()
    inputs, labels = torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)
    train, test = (inputs[:1200], labels[:1200]), (inputs[1200:], labels[1200:])
    kinds: dict[str, Callable[[], nn.Module]] = {
        "perceptron 64-128-128-10": lambda: perceptron(128),
        "perceptron 64-512-512-10": lambda: perceptron(512),
        "CNN with BatchNorm, 16 channels": lambda: convolutional(16),
        "CNN with BatchNorm, 64 channels": lambda: convolutional(64),
    }
    for name, make in kinds.items():
        columns: dict[str, list[float]] = {}
        for seed in range(seeds):
            one, two = (trained(make, 2 * seed + k, *train) for k in range(2))
            objective = bs.Objective(one, sample_losses, [test], unit="nat")
            for renewed in (False, True) if "BatchNorm" in name else (None,):
                source = [train] if renewed else renewed
                path = bs.linear_path(objective, two, beyond=0, align=True, recalibrate=source, progress=False)
                for which in ("unaligned", "aligned"):
                    label = which + (", statistics renewed" if renewed else "")
                    columns.setdefault(label, []).append(path.attrs[f"straight_barrier_{which}"])
        for label, values in columns.items():
            median, low, high = np.median(values), min(values), max(values)
            yield f"| {name} | {label} | {median:.3f} ({low:.3f} – {high:.3f}) |"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--large", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    lines = [machine(), "", "| network | permutable axes (units) | recovered | seconds each |", "|---|---|---|---|"]
    sys.stdout.write("\n".join(lines) + "\n")
    for row in recovered(options.trials, options.large):
        sys.stdout.write(row + "\n")
        sys.stdout.flush()
    sys.stdout.write("\n| network | straight line | barrier in nat |\n|---|---|---|\n")
    for row in barriers(options.seeds):
        sys.stdout.write(row + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
