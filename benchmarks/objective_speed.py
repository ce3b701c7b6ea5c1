"""What an evaluation, a gradient and a Hessian product of anyone's network cost, in bare passes over its batches.

    python benchmarks/objective_speed.py [--repeats 5] [--threads 2]

Ways are run in turn in one process; the median and the whole range over the repeats are printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from basinscope.landscape.module.objective import Objective
from basinscope.models.catalog import build
from ratios import divided, head, in_turn, machine, report

CLASSES = 10


def sample_losses(model: nn.Module, batch: Any) -> torch.Tensor:
    """Cross-entropy of each sample."""
    return cross_entropy(model(batch[0]), batch[1], reduction="none")


def cases() -> dict[str, tuple[nn.Module, Callable[[Any, Any], torch.Tensor], list[Any]]]:
    """A network, its loss and a batch of each kind."""
    torch.manual_seed(0)
    perceptron = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    images = (torch.randn(125, 3, 32, 32), torch.randint(CLASSES, (125,)))
    found: dict[str, Any] = {
        "perceptron, 500 samples": (
            perceptron.eval(),
            sample_losses,
            [(torch.randn(500, 64), torch.randint(CLASSES, (500,)))],
        ),
        "ResNet-8, 125 images": (build("resnet8").eval(), sample_losses, [images]),
        "ResNet-20, 125 images": (build("resnet20").eval(), sample_losses, [images]),
    }
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ModuleNotFoundError:
        return found
    config = GPT2Config(n_layer=4, n_head=4, n_embd=128, n_positions=64, vocab_size=500, bos_token_id=0, eos_token_id=0)
    tokens = torch.randint(500, (8, 64))
    batches = [{"input_ids": tokens, "labels": tokens}]
    found["GPT-2, 4 layers of 128, 8 × 64 tokens"] = (GPT2LMHeadModel(config).eval(), _mean_loss, batches)
    return found


def _mean_loss(model: Any, batch: Any) -> torch.Tensor:
    return model(**batch).loss


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(machine())
    head()
    for name, (model, loss, batches) in cases().items():
        objective = Objective(model, loss, batches)
        objective.check()
        step = (objective.direction(0, 0), 0.1)
        vector = [torch.randn_like(tensor) for tensor in objective.center.tensors]

        def bare(model: nn.Module = model, loss: Any = loss, batches: list[Any] = batches) -> None:
            with torch.no_grad():
                for batch in batches:
                    loss(model, batch)

        # As verbs do: checked and guarded once. The weights stay, so that products may share a gradient.
        with objective.held():
            took = in_turn(
                {"bare": bare, "Hessian product": lambda o=objective, v=vector: o.hessian_vector_product(v)},
                options.repeats,
            )
            took |= in_turn(
                {
                    "bare again": bare,
                    "evaluation": lambda o=objective, s=step: o.loss_at(s),
                    "gradient": lambda o=objective, s=step: o.gradient_at(s),
                },
                options.repeats,
            )
        for way, once in (("evaluation", "bare again"), ("gradient", "bare again"), ("Hessian product", "bare")):
            report(f"{name}: {way} ÷ bare pass", "fact", divided(took[way], took[once]), decimals=1)


if __name__ == "__main__":
    main()
