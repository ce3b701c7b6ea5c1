import contextlib
import importlib.util
import random

import numpy as np
import pytest
import torch

from basinscope.landscape import random_state as module

# Loaded anew without checked annotations, because the checker itself draws from Python's random numbers.
_SPEC = importlib.util.spec_from_file_location("unchecked", module.__file__)
_UNCHECKED = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_UNCHECKED)
undisturbed = _UNCHECKED.undisturbed


def _draws():
    return random.random(), np.random.rand(3).tolist(), torch.rand(3).tolist()


def _next_draws():
    """What would be drawn next; draws it."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    found = _draws()
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
    return found


@pytest.mark.parametrize("ending", [None, ValueError, KeyboardInterrupt])
def test_the_next_draws_are_those_that_would_have_come(ending):
    wanted = _next_draws()
    with pytest.raises(ending) if ending else contextlib.nullcontext(), undisturbed([torch.device("cpu")]):
        assert _draws() == wanted
        random.seed(1)
        np.random.seed(2)
        torch.manual_seed(3)
        if ending:
            raise ending
    assert _draws() == wanted


def test_each_context_begins_at_the_same_draw():
    seen = []
    for _ in range(2):
        with undisturbed():
            seen.append(_draws())
    assert seen[0] == seen[1]


def test_an_inner_context_hands_its_state_back_to_the_outer_one():
    with undisturbed():
        wanted = _next_draws()
        with undisturbed():
            _draws()
        assert _draws() == wanted


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_next_draw_on_a_gpu_is_the_one_that_would_have_come():
    device = torch.device("cuda")
    state = torch.cuda.get_rng_state()
    wanted = torch.rand(3, device=device)
    torch.cuda.set_rng_state(state)
    with undisturbed([device]):
        torch.rand(5, device=device)
    assert torch.equal(torch.rand(3, device=device), wanted)
