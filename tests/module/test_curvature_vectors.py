"""Smallest eigenvalues, eigenvectors in weight space and the diagonal of a network's Hessian."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.errors import InputError
from tests.problems import around, at, bowl, small_batches, small_net

TIGHT = {"tolerance": 1e-9, "max_steps": 200, "trace_vectors": 0, "progress": False}


def _dense(net: nn.Module) -> tuple[Tensor, Tensor]:
    """The Hessian by all weight matrices, by torch.autograd, and D = ‖w_f‖/√dim_f of each entry, in loops."""
    inputs, labels = (torch.cat(parts) for parts in zip(*small_batches(), strict=True))
    state = {name: tensor.detach() for name, tensor in net.named_parameters()}
    moved = {name: tensor for name, tensor in state.items() if tensor.ndim > 1}

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([tensor.numel() for tensor in moved.values()])
        placed = {name: part.view(moved[name].shape) for name, part in zip(moved, parts, strict=True)}
        return cross_entropy(torch.func.functional_call(net, state | placed, (inputs,)), labels)

    matrix = torch.autograd.functional.hessian(loss, torch.cat([tensor.reshape(-1) for tensor in moved.values()]))
    assert isinstance(matrix, Tensor)
    scales = [float(row.norm()) / len(row) ** 0.5 for tensor in moved.values() for row in tensor for _ in row]
    return matrix, torch.tensor(scales, dtype=torch.float64)


@pytest.fixture(scope="module")
def dense() -> tuple[Tensor, Tensor]:
    return _dense(small_net())


def test_the_smallest_eigenvalues_of_a_quadratic_are_its_own():
    found = bs.curvature(bowl([7.0, 5, 2, 0.5, -3, 0]), top=2, smallest=3, **TIGHT)
    np.testing.assert_allclose(found["smallest_eigenvalue"], [-3, 0, 0.5], atol=1e-8)
    assert found["smallest_rank"].values.tolist() == [1, 2, 3]
    assert not found["smallest_status"].any()
    assert found["smallest_eigenvalue"].attrs["units"] == found["eigenvalue"].attrs["units"]


@pytest.mark.parametrize("scale", ["plain", "filter"])
def test_eigenvalues_and_vectors_at_both_ends_are_those_of_the_dense_hessian(dense, scale):
    matrix, scales = dense
    scales = scales if scale == "filter" else torch.ones_like(scales)
    scaled = scales[:, None] * matrix * scales
    found = bs.curvature(around(small_net()), top=4, smallest=3, vectors=True, scale=scale, **TIGHT)
    values = torch.linalg.eigvalsh(scaled).numpy()
    np.testing.assert_allclose(found["eigenvalue"], values[::-1][:4], atol=1e-8)
    np.testing.assert_allclose(found["smallest_eigenvalue"], values[:3], atol=1e-8)
    for end in ("", "smallest_"):
        moved = torch.from_numpy(found[f"{end}eigenvector"].values)
        for value, direction in zip(found[f"{end}eigenvalue"].values, moved, strict=True):
            unit = direction / scales  # the direction is D·v
            assert float(unit.norm()) == pytest.approx(1)
            # In weight space: D·H·(D v) = λ v, and the curvature along D·v is λ.
            torch.testing.assert_close(scales * (matrix @ direction), value * unit, rtol=0, atol=1e-8)
            assert float(direction @ matrix @ direction) == pytest.approx(float(value), abs=1e-9)
    assert "D·v" in found["eigenvector"].attrs["long_name"]
    assert found["eigenvector"].attrs["units"] == ""


def test_tensors_say_which_entries_are_whose():
    net = small_net()
    objective = around(net, one_dim="moved")
    found = bs.curvature(objective, top=1, vectors=True, diagonal_vectors=2, **TIGHT)
    tensors = json.loads(found.attrs["tensors"])
    assert tensors == [[name, list(tensor.shape)] for name, tensor in net.named_parameters()]
    assert found.sizes["entry"] == objective.num_moved
    # Unflattened by them, the eigenvector's product is λ times itself.
    flat = torch.from_numpy(found["eigenvector"].values[0])
    parts = flat.split([int(np.prod(shape)) for _, shape in tensors])
    blocks = [part.view(shape) for part, (_, shape) in zip(parts, tensors, strict=True)]
    product = objective.hessian_vector_product(blocks)
    for one, block in zip(product, blocks, strict=True):
        torch.testing.assert_close(one, float(found["eigenvalue"][0]) * block, rtol=0, atol=1e-8)


def test_parts_that_are_not_asked_for_are_absent():
    found = bs.curvature(around(small_net()), top=1, progress=False)
    assert not {"smallest_eigenvalue", "eigenvector", "diagonal"} & set(found.variables)
    assert "tensors" not in found.attrs


def test_vectors_and_diagonals_are_saved_loaded_and_not_drawn(tmp_path: Path):
    settings = {"top": 2, "smallest": 2, "progress": False}
    found = bs.curvature(around(small_net()), vectors=True, diagonal_vectors=3, **settings)
    bs.save(found, tmp_path / "curvature.nc")
    assert bs.load(tmp_path / "curvature.nc").identical(found)
    without = bs.curvature(around(small_net()), **settings)
    one, other = (bs.plot(result).axes[0] for result in (found, without))
    assert len(one.lines) == len(other.lines)
    assert len(one.containers) == 2
    assert "smallest" in one.get_xlabel()


@pytest.mark.parametrize("scale", ["plain", "filter"])
def test_the_diagonal_is_exact_from_as_many_vectors_as_entries(dense, scale):
    matrix, scales = dense
    wanted = matrix.diagonal() * (scales**2 if scale == "filter" else 1)
    found = bs.curvature(around(small_net()), top=1, scale=scale, diagonal_vectors=len(matrix), **TIGHT)
    np.testing.assert_allclose(found["diagonal"], wanted, atol=1e-12)
    assert not found["diagonal_stderr"].any()
    assert found["diagonal"].attrs["units"] == found["trace"].attrs["units"]


def test_the_diagonal_from_few_vectors_is_unbiased_and_covered(dense):
    matrix, _ = dense
    objective, settings = around(small_net()), {**TIGHT, "top": 1, "tolerance": 0.5, "diagonal_vectors": 16}
    found = [bs.curvature(objective, seed=seed, **settings) for seed in range(8)]
    off = np.stack([one["diagonal"].values - matrix.diagonal().numpy() for one in found])
    error = np.stack([one["diagonal_stderr"].values for one in found])
    assert abs(off.mean()) < 4 * off.std() / off.size**0.5
    assert np.mean(np.abs(off) <= 1.96 * error) == pytest.approx(0.95, abs=0.04)


@pytest.mark.parametrize(
    ("setting", "message"), [({"smallest": -1}, "at least 0"), ({"diagonal_vectors": 1}, "or 0 for no diagonal")]
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(InputError, match=message) as caught:
        bs.curvature(bowl([1.0, 2.0]), progress=False, **setting)
    assert next(iter(setting)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_repeated_curvatures_are_all_returned():
    # The Hessian of linear regression with several outputs is made of equal blocks.
    inputs = torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net = nn.Linear(4, 3, bias=False).double().eval()
    targets = torch.ones(30, 3, dtype=torch.float64)
    objective = bs.Objective(net, lambda model, x: 0.5 * (model(x) - targets).square().sum(1), [inputs])
    block = torch.linalg.eigvalsh(inputs.T @ inputs / 30).flip(0)
    found = bs.curvature(objective, top=8, **TIGHT)
    np.testing.assert_allclose(found["eigenvalue"], block.repeat_interleave(3)[:8], rtol=1e-8)
    assert not found["status"].any()


def test_memory_is_announced_with_the_pairs(caplog, monkeypatch):
    monkeypatch.setattr("basinscope.probes.curvature.ANNOUNCED_BYTES", 8 * 40 * 30)
    settings = {"max_steps": 10, "trace_vectors": 0, "progress": False}
    bs.curvature(around(small_net()), top=1, **settings)
    assert not caplog.text
    bs.curvature(around(small_net()), top=5, smallest=5, **settings)
    assert "32 vectors" in caplog.text


def test_a_layer_that_the_loss_does_not_use_is_left_out():
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(3, 2).double(), nn.Linear(5, 5).double()

        def forward(self, inputs: Tensor) -> Tensor:
            return self.used(inputs)

    objective = bs.Objective(
        Unused().eval(), lambda model, x: model(x).square().sum(1), [torch.eye(3, dtype=torch.float64)]
    )
    found = bs.curvature(objective, vectors=True, progress=False)
    assert json.loads(found.attrs["tensors"]) == [["used.weight", [2, 3]]]
    assert found["eigenvector"].shape == (5, 6)


def test_products_say_how_they_were_made():
    assert bs.curvature(bowl([1.0, 2.0]), progress=False).attrs["products"] == "second derivatives"
    assert bs.mean_curvature(around(small_net()), progress=False).attrs["products"] == "second derivatives"
    assert bs.slice1d(bowl([1.0, 2, 3]), directions="hessian").attrs["products"] == "second derivatives"
    assert "products" not in bs.slice1d(bowl([1.0, 2, 3])).attrs


def test_products_by_differences_are_stated_in_result_summary_and_figures():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, inputs):
            ctx.save_for_backward(inputs)
            return inputs.square()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, *slopes):
            return 2 * ctx.saved_tensors[0] * slopes[0]

    objective = at([0.1, 0.3, 0.2], lambda w: Once.apply(w).sum().exp())
    found = bs.curvature(objective, progress=False)
    assert found.attrs["products"] == "differences of gradients"
    from basinscope.probes.rows import curvature_rows, mean_curvature_rows

    assert curvature_rows(found)[-1].spread == "differences of gradients"
    assert curvature_rows(found)[-1].value == int(found["num_products"])
    mean = bs.mean_curvature(objective, progress=False)
    assert "by differences of gradients" in mean_curvature_rows(mean)[0].spread
    legend = bs.plot(found).axes[0].get_legend() or bs.plot(found).legends[0]
    assert "differences of gradients" in " ".join(text.get_text() for text in legend.get_texts()).replace("\n", " ")
    plane = bs.slice2d(objective, directions="hessian", resolution=3, progress=False)
    assert plane.attrs["products"] == "differences of gradients"
    assert "differences of gradients" in bs.plot(plane).axes[0].get_title().replace("\n", " ")
