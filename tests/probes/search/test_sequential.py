import math
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

import basinscope.probes.search.sequential as module
from basinscope.errors import InputError
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.protocol import Evaluation
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.stacked import PointObjective
from basinscope.landscape.streamed import StreamedLoss
from basinscope.probes.radius import basin_radius
from basinscope.probes.search.bracket import NONFINITE, OK, OUTERMOST, UNBOUNDED
from basinscope.results.convert import check
from tests.images import CLASSES, flat_loss, image_set, trained_net
from tests.reference import scan_radius

CUTOFF = 0.1
IMAGES = image_set(60, 2, noise=90.0)


class WholeLoss(StreamedLoss):
    """Never ends early."""

    def look_along(self, center, ray, distance, *, limit=math.inf):
        return super().look_along(center, ray, distance)


@cache
def _net():
    return trained_net(IMAGES, width=6, steps=40)


def _measure(landscape=None, *, num=20, center=None, **settings):
    landscape = StreamedLoss(_net(), IMAGES, batch_size=6) if landscape is None else landscape
    settings = {"indices": range(num), "cutoff": CUTOFF, "tolerance": 1e-2, "seed": 0, "progress": False} | settings
    center = landscape.minimum if center is None else center
    return basin_radius(landscape.around(center, Normalization(landscape.layout)), **settings)


@cache
def _measured():
    return _measure()


def _slow():
    """The loss of many points at once, without a stream."""
    net, layout = _net(), StreamedLoss(_net(), IMAGES).layout
    many = torch.func.vmap(lambda point: flat_loss(net, IMAGES, point))
    return PointObjective(many, layout, chunk_size=64)


def _directions(num, center):
    normalization = Normalization(StreamedLoss(_net(), IMAGES).layout)
    return torch.stack([Ray(normalization, 0, index).direction(center) for index in range(num)])


def test_radii_are_first_crossings_by_a_fine_scan():
    found, slow = _measured().isel(ray=slice(10)), _slow()
    center = StreamedLoss(_net(), IMAGES).minimum
    assert (found["status"] == OK).all()
    scanned = [scan_radius(slow, center, direction, CUTOFF) for direction in _directions(10, center)]
    same = np.isclose(found["radius"], scanned, rtol=0.021)
    assert same.mean() >= 0.9
    # Where a line crosses more than once, the scan may stop at an earlier crossing, never at a later one.
    assert (np.array(scanned)[~same] < found["radius"].values[~same]).all()


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4])
def test_every_bracket_is_closed_and_true_when_evaluated_to_its_end(tolerance):
    found, slow = _measure(tolerance=tolerance, num=12), _slow()
    center = StreamedLoss(_net(), IMAGES).minimum
    rays = _directions(12, center)
    lower, upper, radius = (torch.from_numpy(found[name].values) for name in ("lower", "upper", "radius"))
    assert (slow.at(center + lower[:, None] * rays) <= CUTOFF).all()
    assert (slow.at(center + upper[:, None] * rays) > CUTOFF).all()
    assert (upper / lower - 1 <= tolerance * (1 + 1e-9)).all()
    torch.testing.assert_close(radius, (lower * upper).sqrt())


def test_a_radius_takes_fewer_evaluations_for_early_ends_and_for_worst_samples_that_foretell_it(monkeypatch):
    def spent(landscape):
        found = _measure(landscape(_net(), IMAGES, batch_size=6))["num_evaluations"].values
        # A batch is a tenth of the images.
        np.testing.assert_allclose(found * 10, (found * 10).round(), atol=1e-6)
        return found.mean()

    quick, whole = spent(StreamedLoss), spent(WholeLoss)
    monkeypatch.setattr(module, "MAX_LOOKS", 0)
    assert quick < 3.2
    assert quick < whole < spent(WholeLoss)


def test_radii_do_not_depend_on_what_worst_samples_foretell():
    wanted = _measured()["radius"]
    for factor in (0.2, 0.97, 1.05, 4.0, math.nan):

        class Misled(StreamedLoss):
            def rough_loss(self, *args, factor=factor, **settings):
                return factor * super().rough_loss(*args, **settings)

        found = _measure(Misled(_net(), IMAGES, batch_size=6))
        assert (found["status"] == OK).all()
        np.testing.assert_allclose(found["radius"], wanted, rtol=1e-2)


def test_all_that_was_looked_at_is_counted_but_the_centre():
    landscape = StreamedLoss(_net(), IMAGES, batch_size=6)
    found = _measure(landscape)
    assert landscape.num_evaluations == pytest.approx(1 + float(found["num_evaluations"].sum()))


def test_radii_do_not_depend_on_early_ends_or_batch_sizes():
    wanted = _measured()["radius"]
    for landscape in (WholeLoss(_net(), IMAGES, batch_size=6), StreamedLoss(_net(), IMAGES, batch_size=25)):
        np.testing.assert_allclose(_measure(landscape)["radius"], wanted, rtol=1e-2)


@pytest.mark.parametrize("indices", [[7], [19, 3, 12], range(19, 9, -1)])
def test_a_radius_does_not_depend_on_which_others_are_measured(indices):
    found = _measure(indices=indices)
    np.testing.assert_array_equal(found["ray"], list(indices))
    np.testing.assert_allclose(found["radius"], _measured()["radius"].sel(ray=list(indices)), rtol=1e-2)


def test_measuring_twice_with_one_landscape_gives_the_same_radii():
    landscape = StreamedLoss(_net(), IMAGES, batch_size=6)
    first, second = _measure(landscape, num=8), _measure(landscape, num=8)
    np.testing.assert_allclose(first["radius"], second["radius"], rtol=1e-2)
    assert float(second["center_loss"]) == pytest.approx(float(first["center_loss"]))


def test_single_precision_finds_the_same_radii():
    net = trained_net(IMAGES, width=6, steps=40).float()
    found = _measure(StreamedLoss(net, IMAGES, batch_size=6), num=8)
    np.testing.assert_allclose(found["radius"], _measured()["radius"][:8], rtol=1e-2)


class ByDistance(StreamedLoss):
    """Loses what `profile` says at a distance from the minimum, whatever the ray."""

    def __init__(self, profile):
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(32, CLASSES)).double(), IMAGES)
        self.profile = profile

    def at(self, points):
        return torch.tensor([self.profile(0.0)] * len(points), dtype=torch.float64)

    def look_along(self, center, ray, distance, *, limit=math.inf):
        loss = self.profile(distance)
        self.num_evaluations += 0.5 if loss > limit else 1.0
        return Evaluation(loss, 0.5 if loss > limit else 1.0)

    def rough_loss(self, center, ray, distance, *, share=0.0):
        return self.profile(distance)


@pytest.mark.parametrize("edge", [1.1e-4, 3e-4, 0.02, 0.7, 9.0])
@pytest.mark.parametrize("power", [0.5, 2.0, 6.0])
def test_radii_of_powers_are_those_of_the_closed_form(edge, power):
    found = _measure(ByDistance(lambda d: CUTOFF * (d / edge) ** power), num=6, tolerance=1e-3)
    assert (found["status"] == OK).all()
    np.testing.assert_allclose(found["radius"], edge, rtol=1e-3)


@pytest.mark.parametrize("level", [0.0, 0.05])
def test_a_flat_landscape_is_unbounded(level):
    found = _measure(ByDistance(lambda d: level), num=3, num_scanned=3)
    assert (found["status"] == UNBOUNDED).all()
    assert (found["radius"] == OUTERMOST).all()
    assert int(found["num_earlier"]) == 0


def test_a_cliff_is_found_and_an_infinite_loss_lies_beyond_it():
    for far in (0.3, 1e3, math.inf):
        found = _measure(ByDistance(lambda d, far=far: far if d > 0.6 else 0.01), num=4)
        assert (found["status"] == OK).all()
        np.testing.assert_allclose(found["radius"], 0.6, rtol=1e-2)


def test_a_loss_that_turns_undefined_before_the_cutoff_has_no_radius():
    found = _measure(ByDistance(lambda d: math.nan if d > 0.3 else 0.05), num=3)
    assert (found["status"] == NONFINITE).all()
    assert found["radius"].isnull().all()


@pytest.mark.parametrize("level", [0.2, math.nan, math.inf])
def test_a_centre_above_the_cutoff_is_refused(level):
    with pytest.raises(InputError, match=f"network's loss is {level:.4g}, not below cutoff = 0.1"):
        _measure(ByDistance(lambda d: level))


def test_no_directions_are_refused():
    with pytest.raises(InputError, match="no directions to measure"):
        _measure(num=0)


@pytest.mark.parametrize(("second", "earlier"), [(0.3, 4), (0.2, 0)])
def test_a_hump_before_the_crossing_is_counted_on_the_scanned_rays(second, earlier):
    # The search begins far beyond the hump, for its single batch never shows it.
    class Hump(ByDistance):
        def rough_loss(self, center, ray, distance, *, share=0.0):
            return 0.0 if distance < 0.8 else 1.0

    found = _measure(Hump(lambda d: 0.2 if 0.2 < d < second or d > 0.9 else 0.05), num=9, num_scanned=4)
    np.testing.assert_allclose(found["radius"], 0.9, rtol=1e-2)
    assert int(found["num_scanned"]) == 4
    assert int(found["num_earlier"]) == earlier


def test_progress_is_told_after_each_ray_and_the_result_keeps_to_its_schema():
    shares = []
    found = _measure(num=4, progress=shares.append, num_scanned=2)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert check(found) is found
    assert int(found["num_scanned"]) == 2
    assert float(found["center_loss"]) < 0.1 * CUTOFF
    assert found.attrs["scheme"] == "filter"


def test_the_centre_and_the_net_stay_as_they_were():
    landscape = StreamedLoss(_net(), IMAGES, batch_size=6)
    kept = [tensor.clone() for tensor in _net().state_dict().values()]
    center = landscape.minimum.clone()
    _measure(landscape, num=3, center=center)
    assert torch.equal(center, landscape.minimum)
    assert all(torch.equal(a, b) for a, b in zip(kept, _net().state_dict().values(), strict=True))
