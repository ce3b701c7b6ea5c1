import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.landscape import gaussian as directions
from basinscope.landscape.gaussian import gaussian, gaussian_into

indices = st.lists(st.integers(0, 10**6), min_size=1, max_size=8)


@given(st.integers(0, 2**40), indices, st.integers(1, 40))
def test_a_row_depends_on_seed_and_index_alone(seed, indices, size):
    together = gaussian(seed, indices, size)
    for row, index in zip(together, indices, strict=True):
        assert torch.equal(row, gaussian(seed, [index], size)[0])


def test_the_order_of_indices_is_the_order_of_rows():
    forth, back = gaussian(3, range(100), 5), gaussian(3, range(99, -1, -1), 5)
    assert torch.equal(forth, back.flip(0))


def test_rows_do_not_depend_on_the_number_of_threads(monkeypatch):
    alone = gaussian(3, range(200), 17)
    monkeypatch.setattr(directions.torch, "get_num_threads", lambda: 3)
    assert torch.equal(gaussian(3, range(200), 17), alone)


def test_seeds_and_indices_give_different_rows():
    rows = torch.cat([gaussian(seed, range(50), 4) for seed in (0, 1)])
    assert len(rows.unique(dim=0)) == 100


def test_entries_are_standard_normal():
    rows = gaussian(0, range(500), 100).double()
    count = rows.numel()
    assert abs(rows.mean()) < 4 / count**0.5
    assert rows.var().item() == pytest.approx(1, abs=4 * (2 / count) ** 0.5)
    assert rows.pow(4).mean().item() == pytest.approx(3, abs=4 * (96 / count) ** 0.5)


def test_two_directions_are_nearly_orthogonal():
    rows = torch.nn.functional.normalize(gaussian(0, range(60), 3457), dim=1)
    cosines = (rows @ rows.T)[~torch.eye(60, dtype=torch.bool)]
    assert cosines.abs().max() < 6 / 3457**0.5
    assert abs(cosines.mean()) < 1e-3


def test_drawing_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    gaussian(0, range(100), 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(seed=st.integers(0, 2**40), index=st.integers(0, 10**6), size=st.integers(1, 70), start=st.integers(0, 3))
def test_a_row_drawn_in_place_is_the_row_drawn_anew(dtype, seed, index, size, start):
    whole = torch.full((size + start + 2,), 7.0, dtype=dtype)
    gaussian_into(whole[start : start + size], seed, index)
    assert torch.equal(whole[start : start + size], gaussian(seed, [index], size)[0].to(dtype))
    assert whole[:start].eq(7).all()
    assert whole[start + size :].eq(7).all()


@pytest.mark.parametrize("size", [5, 16, 40])
def test_a_row_with_gaps_gets_the_same_entries(size):
    column = torch.zeros(size, 3)[:, 1]
    gaussian_into(column, 2, 9)
    assert torch.equal(column, gaussian(2, [9], size)[0])


def test_drawing_in_place_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    gaussian_into(torch.empty(20), 0, 1)
    assert torch.equal(torch.get_rng_state(), before)
