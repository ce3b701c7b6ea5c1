import pytest
import torch

from basinscope.training.optimizers import Adam, RMSprop, clip_gradient


def test_each_row_moves_as_with_torch_s_adam():
    stream = torch.Generator().manual_seed(0)
    points = torch.randn(3, 4, generator=stream, dtype=torch.float64)
    rates = [0.1, 0.01, 0.001]
    alone = [torch.nn.Parameter(row.clone()) for row in points]
    torchs = [torch.optim.Adam([p], lr=rate) for p, rate in zip(alone, rates, strict=True)]
    optimizer = Adam.start(points)
    for step in range(30):
        gradient = torch.randn(3, 4, generator=stream, dtype=torch.float64) * 10.0 ** (step % 5 - 2)
        for parameter, row, other in zip(alone, gradient, torchs, strict=True):
            parameter.grad = row.clone()
            other.step()
        optimizer.update(slice(0, 3), points, gradient, torch.tensor(rates, dtype=torch.float64)[:, None], step)
    torch.testing.assert_close(points, torch.stack(list(alone)).detach(), rtol=1e-12, atol=1e-14)


def test_each_row_moves_as_with_torch_s_rmsprop():
    stream = torch.Generator().manual_seed(0)
    points = torch.randn(2, 4, generator=stream, dtype=torch.float64)
    rates = [0.1, 0.01]
    alone = [torch.nn.Parameter(row.clone()) for row in points]
    torchs = [torch.optim.RMSprop([p], lr=r, alpha=0.9, eps=1e-7) for p, r in zip(alone, rates, strict=True)]
    optimizer = RMSprop.start(points)
    for step in range(30):
        gradient = torch.randn(2, 4, generator=stream, dtype=torch.float64) * 10.0 ** (step % 5 - 2)
        for parameter, row, other in zip(alone, gradient, torchs, strict=True):
            parameter.grad = row.clone()
            other.step()
        optimizer.update(slice(0, 2), points, gradient, torch.tensor(rates, dtype=torch.float64)[:, None], step)
    torch.testing.assert_close(points, torch.stack(list(alone)).detach(), rtol=1e-12, atol=1e-14)


def test_a_part_of_the_rows_moves_alone():
    points = torch.zeros(3, 2)
    optimizer = Adam.start(points)
    optimizer.update(slice(1, 2), points[1:2], torch.ones(1, 2), torch.full((1, 1), 0.1), 0)
    assert points[1].tolist() == pytest.approx([-0.1, -0.1])
    assert not points[[0, 2]].any()
    assert not optimizer.state["mean"][[0, 2]].any()


def test_kept_rows_keep_their_moments():
    optimizer = Adam({"mean": torch.arange(6.0).view(3, 2), "square": -torch.arange(6.0).view(3, 2)})
    optimizer.keep(torch.tensor([0, 2]))
    assert optimizer.state["mean"].tolist() == [[0, 1], [4, 5]]
    assert optimizer.state["square"].tolist() == [[0, -1], [-4, -5]]


def test_clipping_scales_long_gradients_and_leaves_short_ones():
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    norms = clip_gradient(gradient, 1.0)
    assert norms.tolist() == pytest.approx([5.0, 0.5, 0.0])
    torch.testing.assert_close(gradient, torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
