"""Leaves a network that is being trained exactly as it was before a measurement."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from basinscope.errors import InputError
from basinscope.landscape.random_state import undisturbed


def refuse_shared_workers(sources: Iterable[Any]) -> None:
    """Refuse loaders whose passes would disturb a training loop that iterates over them.

    Raises:
        InputError: A loader keeps its workers, which serve one iterator at a time.
    """
    for source in sources:
        if isinstance(source, DataLoader) and source.persistent_workers:
            raise InputError(
                "Recorder: the objective's batches are a DataLoader with persistent_workers=True, whose passes restart "
                "each other: pass the objective a loader without them"
            )


@contextlib.contextmanager
def as_found(models: Iterable[nn.Module], sources: Iterable[Any], *, guarded: bool) -> Iterator[None]:
    """Context in which networks are in eval mode; on exit, all that training depends on is as before, bit for bit.

    Restored are modes, gradients, `requires_grad` and random states, those of the loaders' generators included.

    Args:
        models: The networks; they may share layers.
        sources: Data sets that are iterated over inside the context.
        guarded: Whether parameters and buffers may be written inside, too; copies of them are held meanwhile.
    """
    modules = list({id(module): module for model in models for module in model.modules()}.values())
    parameters = list({id(p): p for module in modules for p in module.parameters(recurse=False)}.values())
    buffers = list({id(b): b for module in modules for b in module.buffers(recurse=False)}.values())
    modes = [module.training for module in modules]
    slopes = [(parameter, parameter.grad, parameter.requires_grad) for parameter in parameters]
    saved = [(tensor, tensor.detach().clone()) for tensor in (*parameters, *buffers)] if guarded else []
    states = [(generator, generator.get_state()) for generator in _generators(sources)]
    try:
        devices = {tensor.device for tensor in (*parameters, *buffers)}
        with undisturbed(devices), torch.inference_mode(False), torch.enable_grad():
            # Set directly: `eval` and `train` may be overridden, to merge adapters for instance.
            for module in modules:
                module.training = False
            for parameter in parameters:
                parameter.grad = None
            yield
    finally:
        for module, training in zip(modules, modes, strict=True):
            module.training = training
        for parameter, gradient, wanted in slopes:
            parameter.grad = gradient
            parameter.requires_grad_(wanted)
        with torch.no_grad():
            for tensor, content in saved:
                # Version counters miss the running statistics of BatchNorm; unchanged tensors keep theirs.
                if not torch.equal(tensor, content):
                    tensor.copy_(content)
        for generator, state in states:
            generator.set_state(state)


def _generators(sources: Iterable[Any]) -> list[torch.Generator]:
    """Random generators of loaders and of their samplers."""
    found: dict[int, torch.Generator] = {}
    for source in sources:
        batched = getattr(source, "batch_sampler", None)
        for holder in (source, getattr(source, "sampler", None), batched, getattr(batched, "sampler", None)):
            generator = getattr(holder, "generator", None)
            if isinstance(generator, torch.Generator):
                found[id(generator)] = generator
    return list(found.values())
