import numpy as np
import pytest
import torch

from basinscope.landscape.normalize import Normalization
from basinscope.landscape.streamed import StreamedLoss
from basinscope.probes.rising_lines import rising_lines
from basinscope.probes.slices import slice1d
from basinscope.results.convert import check
from tests.images import image_set, trained_net

IMAGES = image_set(40, 2, noise=90.0)
NET = trained_net(IMAGES)
DISTANCES = torch.linspace(0, 1.5, 16, dtype=torch.float64)
INDICES = [4, 0, 11, 2, 9]


def _landscape(batch_size=5):
    landscape = StreamedLoss(NET, IMAGES, batch_size=batch_size)
    return landscape, landscape.minimum, Normalization(landscape.layout)


def _lines(ceiling, *, batch_size=5, **settings):
    landscape, center, normalization = _landscape(batch_size)
    found = rising_lines(
        landscape.around(center, normalization),
        seed=3,
        indices=INDICES,
        distances=DISTANCES,
        ceiling=ceiling,
        **settings,
    )
    return found, landscape.num_evaluations


def _whole():
    landscape, center, normalization = _landscape()
    return slice1d(
        landscape.around(center, normalization), seed=3, indices=INDICES, distances=DISTANCES, progress=False
    )


@pytest.mark.parametrize("ceiling", [0.01, 0.3, 2.0])
def test_lines_are_the_slices_up_to_the_ceiling_and_infinite_beyond(ceiling):
    found, whole = _lines(ceiling)[0]["loss"].values, _whole()["loss"].values
    beyond = np.maximum.accumulate(whole > ceiling, axis=1)
    assert beyond.any(axis=1).sum() >= 3
    np.testing.assert_array_equal(np.isinf(found), beyond)
    np.testing.assert_allclose(found[~beyond], whole[~beyond], rtol=1e-12)


def test_a_ceiling_above_everything_gives_the_whole_slices():
    found, spent = _lines(1e9)
    np.testing.assert_allclose(found["loss"], _whole()["loss"], rtol=1e-12)
    assert spent == pytest.approx(len(INDICES) * len(DISTANCES))


def test_a_lower_ceiling_costs_less():
    costs = [_lines(ceiling)[1] for ceiling in (0.01, 0.3, 1e9)]
    assert costs[0] < 0.8 * costs[1] < 0.8 * costs[2]


def test_what_is_behind_the_ceiling_is_not_looked_at():
    found, spent = _lines(0.05, batch_size=40)
    kept = np.isfinite(found["loss"].values).sum(axis=1)
    # One batch is the whole set: each line costs what is kept and one point more.
    assert spent == pytest.approx(np.minimum(kept + 1, len(DISTANCES)).sum())


def test_a_minimum_above_the_ceiling_has_no_line():
    found, _ = _lines(1e-9)
    assert np.isinf(found["loss"]).all()


def test_the_result_keeps_to_its_schema():
    shares = []
    found, _ = _lines(0.3, progress=shares.append)
    assert check(found) is found
    np.testing.assert_array_equal(found["ray"], INDICES)
    np.testing.assert_array_equal(found["distance"], DISTANCES)
    assert found.attrs["scheme"] == "filter"
    assert float(found.attrs["ceiling"]) == 0.3
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
