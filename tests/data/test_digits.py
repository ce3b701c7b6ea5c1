import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from basinscope.data.digits import scattered_digits
from basinscope.data.images import Images, ImageTask
from basinscope.errors import InputError

SMALL = {"num_train": 120, "num_unseen": 90, "num_test": 60}


@pytest.fixture(scope="module")
def task() -> ImageTask:
    return scattered_digits(**SMALL)


def _find_digits(images: Images) -> list[tuple[int, int, int]]:
    """For each image, by looking everywhere: the one digit of its class that stands there whole, and where."""
    known = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    index = {
        (int(label), digit.tobytes()): i
        for i, (label, digit) in enumerate(zip(load_digits().target, known, strict=True))
    }
    found = []
    for image, label in zip(images.pixels[:, 0].numpy(), images.labels.tolist(), strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image, (8, 8))
        places = np.ndindex(windows.shape[:2])
        there = [(index.get((label, windows[place].tobytes())), *place) for place in places]
        (one,) = [place for place in there if place[0] is not None]
        found.append(one)
    return found


@pytest.fixture(scope="module")
def found(task: ImageTask) -> list[list[tuple[int, int, int]]]:
    return [_find_digits(part) for part in (task.train, task.unseen, task.test)]


def test_each_image_holds_a_real_digit_of_its_class_whole_and_no_digit_serves_two_parts(
    found: list[list[tuple[int, int, int]]],
) -> None:
    train, unseen, test = ({digit for digit, _, _ in part} for part in found)
    assert not train & unseen
    assert not train & test
    assert not unseen & test


def test_clutter_is_four_scraps_outside_the_digits_square(
    task: ImageTask, found: list[list[tuple[int, int, int]]]
) -> None:
    bright = 0
    for image, (_, top, left) in zip(task.train.pixels[:, 0].clone(), found[0], strict=True):
        image[top : top + 8, left : left + 8] = 0
        lit = int((image > 0).sum())
        assert lit <= 4 * 9
        bright += lit
    # Scraps cut anywhere out of digits, half of whose pixels are dark, are about half lit.
    assert 10 < bright / len(task.train) < 30


def test_digits_lie_anywhere(found: list[list[tuple[int, int, int]]]) -> None:
    for axis in (1, 2):
        places = [place[axis] for part in found for place in part]
        assert set(places) == set(range(9))
        assert np.mean(places) == pytest.approx(4, abs=5 * np.sqrt(60 / 9 / len(places)))


def test_classes_and_digits_are_used_evenly(task: ImageTask, found: list[list[tuple[int, int, int]]]) -> None:
    for part in (task.train, task.unseen, task.test):
        counts = torch.bincount(part.labels, minlength=10)
        assert counts.max() - counts.min() <= 1
    many = scattered_digits(num_train=400, num_unseen=4000, num_test=4000)
    classes: dict[int, list[int]] = {label: [] for label in range(10)}
    for label, (digit, _, _) in zip(many.train.labels.tolist(), _find_digits(many.train), strict=True):
        classes[label].append(digit)
    for digits in classes.values():
        _, times = np.unique(digits, return_counts=True)
        assert len(times) < len(digits)
        assert times.max() - times.min() <= 1


def test_mean_and_deviation_are_the_training_parts(task: ImageTask) -> None:
    inputs = task.train.inputs(dtype=torch.float64)
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-12)
    assert float(inputs.std(correction=0)) == pytest.approx(1)
    assert task.test.mean == task.unseen.mean == task.train.mean


def test_a_seed_gives_another_draw_and_always_the_same(task: ImageTask) -> None:
    assert scattered_digits(**SMALL).checksum == task.checksum
    assert scattered_digits(**SMALL, data_seed=1).checksum != task.checksum


def test_drawing_leaves_the_global_random_states_alone() -> None:
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()
    scattered_digits(num_train=10, num_unseen=10, num_test=10)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], legacy)


@pytest.mark.parametrize("canvas", [13, 21])
def test_other_canvases_hold_whole_digits_too(canvas: int) -> None:
    other = scattered_digits(num_train=10, num_unseen=3000, num_test=10, canvas=canvas)
    assert f"{canvas}×{canvas} canvas" in other.name
    assert other.train.pixels.shape == (10, 1, canvas, canvas)
    for part in (other.train, other.test):
        assert len(_find_digits(part)) == 10


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"num_train": 9}, "9 training images"),
        ({"num_unseen": 0}, "0 unseen images"),
        ({"num_test": -4}, "-4 test images"),
        ({"canvas": 12}, "must be between 13 and 128"),
        ({"canvas": 100_000}, "must be between 13 and 128"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        scattered_digits(**wrong)
