import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.seeds import MAX_SEED, child_seed, generator

plain_names = st.text(alphabet="abc xyz", max_size=6)
paths = st.lists(st.integers(-5, 5) | plain_names, max_size=3).map(tuple)


@given(root=st.integers(), path=paths)
def test_a_child_seed_is_a_seed_that_torch_takes(root, path):
    seed = child_seed(root, *path)
    assert 0 <= seed <= MAX_SEED
    torch.Generator().manual_seed(seed)


@given(st.tuples(st.integers(), paths), st.tuples(st.integers(), paths))
def test_streams_coincide_only_for_equal_paths(one, other):
    same = one == other
    assert (child_seed(one[0], *one[1]) == child_seed(other[0], *other[1])) == same


def test_a_number_and_its_digits_name_different_streams():
    assert child_seed(0, 1) != child_seed(0, "1")


def test_nesting_is_not_confused_by_text_that_looks_like_a_path():
    assert child_seed(0, "a/str:b") != child_seed(0, "a", "b")


def test_child_seeds_do_not_depend_on_the_process():
    code = "from basinscope.seeds import child_seed; print(child_seed(7, 'start', 3))"
    environment = os.environ | {"PYTHONHASHSEED": "123"}
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    ).stdout
    assert int(printed) == child_seed(7, "start", 3)


def test_a_stream_is_known_by_its_name_not_by_what_was_drawn_before():
    first = torch.rand(3, generator=generator(0, "start", 1))
    torch.rand(5, generator=generator(0, "start", 0))
    assert torch.equal(torch.rand(3, generator=generator(0, "start", 1)), first)
    assert not torch.equal(torch.rand(3, generator=generator(0, "start", 2)), first)


def test_a_stream_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(0, "start"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("root", [0, -1, 2**70])
def test_any_integer_is_a_root(root):
    assert child_seed(root, "x") == child_seed(root, "x")
