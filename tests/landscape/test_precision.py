import time

import pytest
import torch

from basinscope.landscape import precision
from basinscope.landscape.normalize import Normalization
from basinscope.landscape.precision import choose_precision, precision_for
from basinscope.landscape.seeded_ray import Ray
from basinscope.landscape.streamed import Precision, StreamedLoss
from tests.images import image_set, layout_of, trained_net

TRAIN = image_set(30, 1)
NET = trained_net(TRAIN, dtype=torch.float32)
RAY = Ray(Normalization(layout_of(NET)), seed=0, index=0)


class Slow(StreamedLoss):
    """Takes long for a pass in float32 and errs by a factor in bfloat16, whatever this machine does."""

    seconds = 0.0
    factor = 1.0

    def look_along(self, *arguments, **settings):
        time.sleep(self.seconds)
        found = super().look_along(*arguments, **settings)
        return type(found)(found.loss * self.factor, found.share)


def make(error: float, *, plain: float = 0.03, fast: float = 0.0):
    def open_it(kind: Precision, compiled: bool) -> StreamedLoss:
        landscape = Slow(NET, TRAIN)
        landscape.seconds, landscape.factor = (plain, 1.0) if kind == "float32" else (fast, 1 + error)
        return landscape

    return open_it


def test_the_faster_way_is_taken_where_it_agrees() -> None:
    found = choose_precision(make(0.001), RAY, ways=[("bfloat16", False)])
    assert (found.precision, found.compiled, found.reason) == ("bfloat16", False, "measured")
    assert found.tried["bfloat16"]["error"] == pytest.approx(0.001, rel=0.01)
    assert found.tried["bfloat16"]["seconds"] < found.tried["float32"]["seconds"]


def test_a_way_that_errs_too_much_is_left() -> None:
    assert choose_precision(make(0.02), RAY, ways=[("bfloat16", False)]).precision == "float32"


def test_a_way_that_gains_too_little_is_left() -> None:
    assert choose_precision(make(0.0, fast=0.03), RAY, ways=[("bfloat16", False)]).precision == "float32"


def test_a_way_that_fails_is_noted_and_left() -> None:
    def fails(kind: Precision, compiled: bool) -> StreamedLoss:
        if compiled:
            raise RuntimeError("no compiler")
        return make(0.0)(kind, compiled)

    found = choose_precision(fails, RAY, ways=[("float32", True), ("bfloat16", False)])
    assert found.tried["float32 compiled"] == {"failed": "RuntimeError"}
    assert found.precision == "bfloat16"


def test_the_error_is_that_of_real_bfloat16() -> None:
    found = choose_precision(
        lambda kind, compiled: StreamedLoss(NET, TRAIN, precision=kind, compiled=compiled),
        RAY,
        ways=[("bfloat16", False)],
    )
    assert 1e-5 < found.tried["bfloat16"]["error"] < 0.5


@pytest.mark.parametrize(("device", "reproducible"), [("cpu", False), ("cuda", True)])
def test_nothing_is_tried_where_there_is_nothing_to_gain(device: str, reproducible: bool) -> None:
    def never(kind: Precision, compiled: bool) -> StreamedLoss:
        raise AssertionError

    found = precision_for(torch.device(device), never, RAY, reproducible=reproducible)
    assert (found.precision, found.compiled, found.tried) == ("float32", False, {})


def test_the_settings_of_the_process_come_back() -> None:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    StreamedLoss(NET, TRAIN, precision="tf32").at(torch.zeros(1, RAY.normalization.layout.num_parameters))
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before
    assert precision.FASTER < 1
