"""Ways of doing the same, timed in turn in one process on the same threads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

Work = Callable[[], object]


def seconds(work: Work) -> float:
    """Time one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(ways: Mapping[str, Work], repeats: int) -> dict[str, list[float]]:
    """Run all ways in turn, after one warm-up each; return the seconds of every turn by name."""
    for work in ways.values():
        work()
    turns = [{name: seconds(work) for name, work in ways.items()} for _ in range(repeats)]
    return {name: [turn[name] for turn in turns] for name in ways}


def divided(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Divide turn by turn."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def ratios(slow: Work, fast: Work, repeats: int) -> list[float]:
    """Run both in turn, after one warm-up each, and return slow / fast of every turn."""
    took = in_turn({"slow": slow, "fast": fast}, repeats)
    return divided(took["slow"], took["fast"])


def machine() -> str:
    """Name what the numbers depend on."""
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"


def head() -> None:
    """Print the head of the table."""
    print("| what | target | median ratio | range | repeats |\n|---|---|---|---|---|", flush=True)


def report(name: str, target: str, found: list[float], *, decimals: int = 1) -> None:
    """Print one row of the table."""
    median, low, high = (f"{value:.{decimals}f}" for value in (statistics.median(found), min(found), max(found)))
    print(f"| {name} | {target} | {median} | {low} – {high} | {len(found)} |", flush=True)
