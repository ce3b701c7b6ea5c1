"""The Hessian as another package makes it; in the optional group `opinion`: pip install 'basinscope[opinion]'."""

import numpy as np
import pytest
import torch
from torch import nn

import basinscope as bs
from tests.anyones import CLASSES, drawn, images, perceptron, sample_losses, vectors

curvlinops = pytest.importorskip("curvlinops", reason="optional: pip install 'basinscope[opinion]'")


def _convolutions() -> nn.Module:
    """With BatchNorm; their products do not go through GroupNorm."""
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(1), nn.LazyLinear(CLASSES)]
    net = nn.Sequential(*layers)
    net(images()[0][0])
    return drawn(net).double()


CASES = {"perceptron": (perceptron, vectors), "convolutions": (_convolutions, images)}


def _theirs(model: nn.Module, batches, names: list[str]):
    parameters = dict(model.named_parameters())
    chosen = [parameters[name] for name in names]
    return curvlinops.HessianLinearOperator(model, nn.CrossEntropyLoss(), chosen, batches, check_deterministic=False)


@pytest.fixture(params=CASES)
def both(request: pytest.FixtureRequest):
    make, batched = CASES[request.param]
    batches = [(inputs.double(), labels) for inputs, labels in batched()]
    model = make()
    objective = bs.Objective(model, sample_losses, batches, one_dim="moved")
    return objective, _theirs(model, batches, [f.name for f in objective.filters])


def test_products_with_the_hessian_are_theirs(both):
    objective, theirs = both
    stream = torch.Generator().manual_seed(0)
    for _ in range(3):
        vector = [torch.randn(f.shape, generator=stream, dtype=torch.float64) for f in objective.filters]
        product = torch.cat([part.reshape(-1) for part in objective.hessian_vector_product(vector)])
        other = theirs @ torch.cat([part.reshape(-1) for part in vector])
        torch.testing.assert_close(product, other, rtol=1e-8, atol=1e-10 * float(product.abs().max()))


def test_eigenvalues_and_trace_are_those_of_their_matrix(both):
    objective, theirs = both
    matrix = (theirs @ torch.eye(objective.num_moved, dtype=torch.float64)).numpy()
    found = bs.curvature(objective, top=4, trace_vectors=40, max_steps=200, tolerance=1e-8, progress=False)
    values = np.linalg.eigvalsh(matrix)[::-1]
    np.testing.assert_allclose(found["eigenvalue"], values[:4], rtol=1e-6)
    error = max(float(found["trace_stderr"]), 1e-9)
    assert abs(float(found["trace"]) - np.trace(matrix)) < 5 * error + 1e-6 * abs(np.trace(matrix))
