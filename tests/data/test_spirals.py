import math
import random

import numpy as np
import pytest
import torch

from basinscope.data import spirals


def _rows(samples):
    return {(round(float(x), 9), round(float(y), 9), int(c)) for (x, y), c in zip(*vars(samples).values(), strict=True)}


def test_the_published_split_is_that_of_the_published_streams():
    """Point by point, with the two global generators as the scripts used them, put back afterwards."""
    points = []
    for sign, label in ((1, 1), (-1, 0)):
        for t in range(200):
            angle = t * 3 * math.pi / 200
            radius = 5 * math.sqrt(angle)
            points.append((sign * radius * math.cos(angle), sign * radius * math.sin(angle), label))
    state, legacy = random.getstate(), np.random.get_state()
    try:
        random.seed(99)
        picked = random.sample(list(enumerate(points)), 132)
        np.random.seed(0)
        np.random.normal(0, 0, (2, 200)), np.random.normal(0, 0, (2, 200))
        unseen = np.random.choice(268, 134, replace=False)
    finally:
        random.setstate(state)
        np.random.set_state(legacy)
    taken = {index for index, _ in picked}
    rest = [point for index, point in enumerate(points) if index not in taken]
    train, others, test = spirals.split()
    np.testing.assert_allclose(train.inputs.numpy(), [p[:2] for _, p in picked], atol=1e-12)
    assert train.labels.tolist() == [p[2] for _, p in picked]
    kept = sorted(unseen)
    np.testing.assert_allclose(others.inputs.numpy(), [rest[k][:2] for k in kept], atol=1e-12)
    np.testing.assert_allclose(
        test.inputs.numpy(), [p[:2] for k, p in enumerate(rest) if k not in set(kept)], atol=1e-12
    )


@pytest.mark.parametrize("data_seed", [None, 0, 7])
def test_a_split_holds_every_point_once(data_seed):
    parts = spirals.split(data_seed)
    assert [len(part) for part in parts] == [132, 134, 134]
    # The two points at the origin share their place but not their class.
    assert len(set().union(*map(_rows, parts))) == 400


def test_a_seed_gives_another_split_and_always_the_same():
    one, again, other = (spirals.split(seed) for seed in (5, 5, 6))
    for a, b, c in zip(one, again, other, strict=True):
        assert torch.equal(a.inputs, b.inputs)
        assert _rows(a) != _rows(c)


def test_drawing_leaves_the_global_random_states_alone():
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    spirals.split()
    spirals.sample_spirals(5, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], legacy)


def test_fresh_samples_lie_on_their_own_arm():
    samples = spirals.sample_spirals(1000, torch.Generator().manual_seed(0))
    assert set(samples.labels.tolist()) == {0, 1}
    unmirrored = samples.inputs.double() * (2 * samples.labels - 1)[:, None]
    radius = unmirrored.norm(dim=1)
    angle = (radius / 5) ** 2
    expected = radius[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(unmirrored, expected, rtol=0, atol=2e-4)
    assert radius.max() <= 5 * math.sqrt(199 * 3 * math.pi / 200)
    # Times are uniform, and the squared radius grows with time: half lies below half.
    assert (angle < 99.5 * 3 * math.pi / 200).double().mean() == pytest.approx(0.5, abs=0.05)
