import math

import numpy as np
import pytest
import torch

from basinscope.data import swissroll


@pytest.fixture(scope="module")
def published():
    return swissroll.training_draw()


def _whole(draw):
    train, test = draw
    return torch.cat([train.inputs, test.inputs]), torch.cat([train.labels, test.labels])


def test_the_published_draw_is_that_of_the_published_stream(published):
    stream = np.random.RandomState(1237)
    angle = np.sqrt(stream.rand(200, 1)) * 600 * (2 * np.pi / 360)
    x = -np.cos(angle) * angle * 1.5 + stream.randn(200, 1) * 0.5
    y = np.sin(angle) * angle * 1.5 + stream.randn(200, 1) * 0.5
    points = np.vstack([np.hstack([x, y]), np.hstack([-x, -y])])
    order = stream.permutation(400)
    inputs, labels = _whole(published)
    np.testing.assert_allclose(inputs.numpy(), points[order], rtol=1e-12, atol=1e-12)
    assert labels.tolist() == (order >= 200).astype(int).tolist()


def test_half_of_the_draw_trains_and_half_tests(published):
    train, test = published
    assert len(train) == len(test) == 200
    assert train.inputs.shape == (200, 2)
    assert train.inputs.dtype == torch.float64
    assert train.labels.sum() + test.labels.sum() == 200


def test_class_1_is_the_exact_mirror_of_class_0(published):
    inputs, labels = _whole(published)
    points = {(*map(float, point), int(label)) for point, label in zip(inputs, labels, strict=True)}
    assert len(points) == 400
    assert {(-x, -y, 1 - label) for x, y, label in points} == points


def test_a_seed_gives_another_draw_and_always_the_same():
    one, again, other = (swissroll.training_draw(seed)[0].inputs for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(swissroll.training_draw(1237)[0].inputs, swissroll.training_draw()[0].inputs)


def test_drawing_leaves_the_global_random_states_alone():
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    swissroll.training_draw()
    swissroll.sample_swissroll(5, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], legacy)


def test_fresh_samples_depend_on_the_generator_alone():
    one, again, other = (swissroll.sample_swissroll(50, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(one.inputs, again.inputs)
    assert torch.equal(one.labels, again.labels)
    assert not torch.equal(one.inputs, other.inputs)


def test_fresh_samples_are_balanced_between_the_classes():
    labels = swissroll.sample_swissroll(10_000, torch.Generator().manual_seed(0)).labels
    assert set(labels.tolist()) == {0, 1}
    assert abs(labels.double().mean() - 0.5) < 4 * 0.5 / math.sqrt(10_000)


def test_fresh_samples_lie_on_their_own_arm_within_the_noise():
    samples = swissroll.sample_swissroll(4000, torch.Generator().manual_seed(0))
    angle = torch.linspace(0, math.radians(600), 2000)
    arm = 1.5 * torch.stack([-angle * angle.cos(), angle * angle.sin()], dim=1)
    unmirrored = samples.inputs * (1 - 2 * samples.labels)[:, None]
    off = torch.cdist(unmirrored, arm).amin(1)
    # Across the arm the noise has one dimension: the mean distance is 0.5 · √(2/π).
    assert off.mean() == pytest.approx(0.5 * math.sqrt(2 / math.pi), rel=0.05)
    assert off.max() < 0.5 * 5


def test_angles_of_fresh_samples_have_the_square_root_law():
    samples = swissroll.sample_swissroll(20_000, torch.Generator().manual_seed(0))
    share = samples.inputs.norm(dim=1) / (1.5 * math.radians(600))
    # φ = √U · 600°: half of the points lie within 600°/√2.
    assert (share < math.sqrt(0.5)).double().mean() == pytest.approx(0.5, abs=0.02)
