import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.parameters import ParameterLayout, flatten, unflatten

shapes = st.lists(st.lists(st.integers(1, 4), max_size=4).map(torch.Size), min_size=1, max_size=5)


def _tensors(shapes):
    stream = torch.Generator().manual_seed(0)
    return {f"t{i}": torch.randn(shape, generator=stream) for i, shape in enumerate(shapes)}


@given(shapes)
def test_unflatten_undoes_flatten(shapes):
    tensors = _tensors(shapes)
    back = unflatten(flatten(tensors), ParameterLayout.of(tensors))
    assert list(back) == list(tensors)
    assert all(torch.equal(back[name], tensors[name]) for name in tensors)


@given(shapes)
def test_flatten_undoes_unflatten(shapes):
    layout = ParameterLayout(tuple(f"t{i}" for i in range(len(shapes))), tuple(shapes))
    flat = torch.arange(float(layout.num_parameters))
    assert torch.equal(flatten(unflatten(flat, layout)), flat)


@given(shapes)
def test_slices_tile_the_flat_vector(shapes):
    layout = ParameterLayout.of(_tensors(shapes))
    covered = [i for where in layout.slices for i in range(where.start, where.stop)]
    assert covered == list(range(layout.num_parameters))
    assert layout.num_parameters == sum(math.prod(s) for s in shapes)


@given(shapes, st.integers(0, 3))
def test_views_of_a_batch_are_the_views_of_its_rows(shapes, rows):
    layout = ParameterLayout.of(_tensors(shapes))
    flat = torch.arange(float(rows * layout.num_parameters)).view(rows, layout.num_parameters)
    for index, view in enumerate(layout.views(flat)):
        assert view.shape == (rows, *shapes[index])
        for row in range(rows):
            assert torch.equal(view[row], layout.views(flat[row])[index])


def test_views_share_memory_and_unflattened_tensors_do_not():
    layout = ParameterLayout(("w", "b"), (torch.Size([2, 2]), torch.Size([2])))
    flat = torch.zeros(6)
    layout.views(flat)[1].fill_(1.0)
    assert flat.tolist() == [0, 0, 0, 0, 1, 1]
    unflatten(flat, layout)["w"].fill_(5.0)
    assert flat.tolist() == [0, 0, 0, 0, 1, 1]


def test_a_layout_without_tensors_is_empty():
    assert ParameterLayout((), ()).num_parameters == 0
