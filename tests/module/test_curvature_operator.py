"""Curvature of a matrix that the user supplies in place of the Hessian."""

import importlib.util
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from torch import Tensor, nn

import basinscope as bs
from basinscope.errors import InputError
from tests.problems import around, bowl, sample_losses, small_batches, small_net

TIGHT = {"tolerance": 1e-9, "max_steps": 200, "progress": False}


def _gauss_newton(net: nn.Module, names: list[str]) -> Tensor:
    """Mean over the samples of Jᵀ(diag p − p pᵀ)J, one sample and one output at a time."""
    inputs = torch.cat([batch for batch, _ in small_batches()])
    chosen = [dict(net.named_parameters())[name] for name in names]
    total = torch.zeros(sum(p.numel() for p in chosen), sum(p.numel() for p in chosen), dtype=torch.float64)
    for sample in inputs:
        logits = net(sample[None])[0]
        rows = [torch.autograd.grad(logit, chosen, retain_graph=True) for logit in logits]
        jacobian = torch.stack([torch.cat([part.reshape(-1) for part in row]) for row in rows])
        share = logits.detach().softmax(0)
        total += jacobian.T @ (torch.diag(share) - torch.outer(share, share)) @ jacobian
    return total / len(inputs)


def _scales(net: nn.Module, names: list[str]) -> Tensor:
    """‖w_f‖/√dim_f of each entry: filters are rows, and biases whole."""
    parts = []
    for name in names:
        tensor = dict(net.named_parameters())[name].detach()
        rows = tensor if tensor.ndim > 1 else tensor[None]
        parts += [row.norm().expand(len(row)) / len(row) ** 0.5 for row in rows]
    return torch.cat(parts)


@pytest.fixture(scope="module")
def known() -> tuple[bs.Objective, Tensor]:
    objective = around(small_net(), one_dim="moved")
    objective.check()
    return objective, _gauss_newton(objective.model, [filters.name for filters in objective.filters])


FORMS = {
    "torch": lambda matrix: matrix,
    "numpy": lambda matrix: matrix.numpy(),
    "numpy in single precision": lambda matrix: matrix.numpy().astype(np.float32),
    "torch in single precision": lambda matrix: matrix.float(),
    "sparse": lambda matrix: csr_array(matrix.numpy()),
    "LinearOperator": lambda matrix: aslinearoperator(matrix.numpy()),
    "function of torch": lambda matrix: lambda v: matrix @ v,
    "function to numpy": lambda matrix: lambda v: matrix.numpy() @ v.numpy(),
    "function of columns": lambda matrix: lambda v: matrix @ v[:, None],
    "with gradients": lambda matrix: lambda v: matrix.clone().requires_grad_() @ v,
    "by differentiating": lambda matrix: torch.func.grad(lambda x: 0.5 * x @ matrix @ x),
    "object": lambda matrix: type("Mine", (), {"__matmul__": lambda self, v: matrix @ v})(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_has_the_spectrum_of_the_dense_gauss_newton_matrix(known, form):
    objective, matrix = known
    single = "single" in form
    settings = TIGHT | ({"tolerance": 1e-4} if single else {})
    operator = FORMS[form](matrix)
    if single:  # two products of random vectors differ by its rounding, more than double precision allows
        operator = 0.5 * (operator + operator.T)
    found = bs.curvature(objective, operator=operator, top=4, trace_vectors=100, diagonal_vectors=100, **settings)
    atol = 1e-5 if single else 1e-8
    np.testing.assert_allclose(found["eigenvalue"], torch.linalg.eigvalsh(matrix).flip(0)[:4], atol=atol)
    np.testing.assert_allclose(found["diagonal"], matrix.diagonal(), atol=atol)
    assert float(found["trace"]) == pytest.approx(float(matrix.trace()), abs=50 * atol)
    assert found.attrs["products"] == "operator"
    assert not found["status"].any()


def test_scaled_by_filters_it_is_d_g_d(known):
    objective, matrix = known
    scales = _scales(objective.model, [filters.name for filters in objective.filters])
    scaled = scales[:, None] * matrix * scales
    settings = TIGHT | {"scale": "filter", "top": 4, "diagonal_vectors": 100, "trace_vectors": 100}
    found = bs.curvature(objective, operator=matrix, **settings)
    np.testing.assert_allclose(found["eigenvalue"], torch.linalg.eigvalsh(scaled).flip(0)[:4], atol=1e-9)
    np.testing.assert_allclose(found["diagonal"], scaled.diagonal(), atol=1e-12)
    assert float(found["trace"]) == pytest.approx(float(scaled.trace()))


def test_the_hessian_as_an_operator_is_measured_like_the_hessian():
    objective = around(small_net())
    settings: dict[str, Any] = {"top": 3, "smallest": 2, "vectors": True, "density": True, "progress": False}
    blocks = [filters.shape for filters in objective.filters]

    def hessian(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in blocks])
        product = objective.hessian_vector_product([p.view(s) for p, s in zip(parts, blocks, strict=True)])
        return torch.cat([part.reshape(-1) for part in product])

    own, other = (bs.curvature(objective, operator=operator, **settings) for operator in (None, hessian))
    for name in own.variables:
        if name != "num_products":
            np.testing.assert_allclose(other[name], own[name], atol=1e-12)
    assert int(other["num_products"]) == int(own["num_products"]) + 2
    assert other["eigenvalue"].attrs["units"] == own["eigenvalue"].attrs["units"]
    assert other["eigenvalue"].attrs["long_name"] == "eigenvalue of the operator"
    titles = [bs.plot(found).axes[0].get_title() for found in (own, other)]
    assert "Hessian" in titles[0]
    assert "operator" in titles[1]
    assert "Hessian and operator" in bs.plot({"H": own, "G": other}).axes[0].get_title()
    from basinscope.probes.rows import curvature_rows

    assert curvature_rows(other)[0].name == "eigenvalue 1 of the operator"
    assert curvature_rows(other)[3].name == "smallest eigenvalue 1 of the operator"


def test_a_loss_that_cannot_be_differentiated_has_operators_too():
    class Rounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64))

        def forward(self) -> Tensor:
            return self.weight.detach().round().sum()

    objective = bs.Objective(Rounded().eval(), lambda model, x: model() + 0 * x.sum(), [torch.zeros(1)])
    values = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)
    found = bs.curvature(objective, operator=torch.diag(values), progress=False)
    np.testing.assert_allclose(found["eigenvalue"], values)


def test_the_given_vector_may_be_written_to_and_the_result_reused():
    values, buffer = torch.tensor([5.0, 3, 1, -1], dtype=torch.float64), torch.zeros(4, dtype=torch.float64)

    def careless(vector: Tensor) -> Tensor:
        buffer.copy_(values * vector)
        vector.zero_()
        return buffer

    found = bs.curvature(bowl([1.0, 1, 1, 1]), operator=careless, top=4, **TIGHT)
    np.testing.assert_allclose(found["eigenvalue"], values, atol=1e-9)
    assert float(found["trace"]) == pytest.approx(8)


def _raises(vector: Tensor) -> Tensor:
    raise KeyError("no such\nkey")


ONES = torch.ones(3, dtype=torch.float64)
WRONG = {
    "a matrix of another size": (torch.eye(4), r"shape is \(4, 4\).*3 moved entries.*one_dim='moved'"),
    "a LinearOperator of another size": (LinearOperator((2, 2), matvec=lambda v: v, dtype=np.float64), "shape"),  # pyright: ignore[reportCallIssue]
    "a vector of another size": (lambda v: v[:2], r"returns the shape \(2,\)"),
    "a matrix as product": (lambda v: v[:, None] * v, r"returns the shape \(3, 3\)"),
    "asymmetric": (torch.tensor([[1.0, 2, 0], [0, 1, 0], [0, 0, 1]]), "not symmetric"),
    "random": (lambda v: v * torch.rand(()), "not symmetric"),
    "NaN": (lambda v: v * float("nan"), "not finite"),
    "infinite": (lambda v: v.numpy() * np.inf, "not finite"),
    "complex": (lambda v: v * 1j, "must be real"),
    "complex of numpy": (np.eye(3) * 1j, "must be real"),
    "text": (lambda v: np.array(["a", "b", "c"]), "must be real"),
    "None": (lambda v: None, "returns a NoneType"),
    "list": (lambda v: [1.0, 2.0, 3.0], "returns a list"),
    "error": (_raises, "KeyError in its product"),
    "shape mismatch inside": (lambda v: torch.eye(5) @ v, "RuntimeError in its product"),
    "no operator": ("ggn", "operator is a str"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_symmetric_matrix_of_the_moved_entries_is_refused_in_one_line(case):
    operator, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        bs.curvature(bowl([1.0, 2.0, 3.0]), operator=operator, progress=False)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("curvature: operator")


@pytest.mark.parametrize(("amount", "refused"), [(1e-4, True), (1e-12, False)])
def test_asymmetry_beyond_rounding_is_refused_and_rounding_is_not(amount, refused):
    noise = torch.randn(40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix = noise + noise.T
    matrix = matrix + amount * noise
    objective = bowl([1.0] * 40)
    if refused:
        with pytest.raises(InputError, match="not symmetric"):
            bs.curvature(objective, operator=matrix, progress=False)
    else:
        bs.curvature(objective, operator=matrix, progress=False)


@pytest.mark.skipif(importlib.util.find_spec("curvlinops") is None, reason="optional: group opinion")
@pytest.mark.parametrize("kind", ["GGNLinearOperator", "EFLinearOperator", "HessianLinearOperator"])
def test_operators_of_curvlinops_are_measured_as_they_are_and_by_way_of_scipy(kind):
    curvlinops = importlib.import_module("curvlinops")
    objective = around(small_net(), one_dim="moved")
    objective.check()
    names = [filters.name for filters in objective.filters]
    parameters = dict(objective.model.named_parameters())
    chosen = [parameters[name] for name in names]
    make = getattr(curvlinops, kind)
    theirs = make(objective.model, nn.CrossEntropyLoss(), chosen, small_batches(), check_deterministic=False)
    if kind == "GGNLinearOperator":
        matrix = _gauss_newton(objective.model, names)
    elif kind == "EFLinearOperator":
        matrix = torch.zeros(objective.num_moved, objective.num_moved, dtype=torch.float64)
        inputs, labels = (torch.cat(parts) for parts in zip(*small_batches(), strict=True))
        for sample in zip(inputs.split(1), labels.split(1), strict=True):
            slope = torch.autograd.grad(sample_losses(objective.model, sample).sum(), chosen)
            flat = torch.cat([part.reshape(-1) for part in slope])
            matrix += torch.outer(flat, flat) / len(inputs)
    else:
        matrix = None
    for operator in (theirs, theirs.to_scipy()):
        found = bs.curvature(objective, operator=operator, top=4, **TIGHT)
        if matrix is None:
            wanted = bs.curvature(objective, top=4, **TIGHT)["eigenvalue"].values
        else:
            wanted = torch.linalg.eigvalsh(matrix).flip(0)[:4].numpy()
        np.testing.assert_allclose(found["eigenvalue"], wanted, atol=1e-8)
