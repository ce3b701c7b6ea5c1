import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinscope.data.images import Images, ImageTask, divide, draw_indices, draw_subset, require_every_class
from basinscope.errors import InputError
from basinscope.seeds import generator

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def _images(num: int = 12, classes: int = 3) -> Images:
    pixels = torch.randint(256, (num, 3, 4, 5), generator=generator(0, "pixels")).to(torch.uint8)
    return Images(pixels, torch.arange(num) % classes, MEAN, STD, classes)


def _stream() -> torch.Generator:
    return generator(0, "test")


def _rows(images: Images) -> set[bytes]:
    return {bytes(row.flatten().tolist()) for row in images.pixels}


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14), (torch.float16, 3e-3)])
def test_inputs_are_normalised_pixel_by_pixel(dtype: torch.dtype, tolerance: float) -> None:
    images = _images()
    inputs = images.inputs(torch.tensor([7, 2]), dtype=dtype)
    assert inputs.dtype == dtype
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    for row, image in enumerate((7, 2)):
        for channel in range(3):
            for y in range(4):
                for x in range(5):
                    value = (int(images.pixels[image, channel, y, x]) / 255 - MEAN[channel]) / STD[channel]
                    assert float(inputs[row, channel, y, x]) == pytest.approx(value, abs=tolerance, rel=tolerance)


def test_inputs_leave_the_pixels_alone_and_are_the_same_however_they_are_cut() -> None:
    images = _images()
    before = images.pixels.clone()
    whole = images.inputs()
    parts = [images.inputs(slice(0, 5)), images.inputs(torch.arange(5, 12))]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(images.pixels, before)


def test_a_mask_and_indices_choose_the_same_images() -> None:
    images = _images()
    mask = images.labels == 1
    by_mask, by_index = images.subset(mask), images.subset(torch.tensor([1, 4, 7, 10]))
    assert torch.equal(by_mask.pixels, by_index.pixels)
    assert by_mask.labels.tolist() == by_index.labels.tolist() == [1, 1, 1, 1]
    assert (by_mask.mean, by_mask.std, by_mask.num_classes) == (MEAN, STD, 3)


@pytest.mark.parametrize("where", [torch.ones(5, dtype=torch.bool), torch.tensor([0, 12]), torch.tensor([-13])])
def test_a_choice_that_does_not_fit_is_refused(where: torch.Tensor) -> None:
    with pytest.raises(InputError, match="12 images"):
        _images().subset(where)


SETTING = """
import torch
from basinscope.data.images import Images
from basinscope.errors import InputError

pixels, labels = torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4)

def told(mistake):
    try:
        mistake()
    except InputError as error:
        print(error)
    else:
        print("nothing was said")
"""

MISTAKES = {
    "Images(pixels.float(), labels, (0.5,), (0.2,))": "of type torch.float32: give bytes",
    "Images(pixels[:, 0], labels, (0.5,), (0.2,))": "of shape (images, channels, height, width)",
    "Images(pixels, labels.int(), (0.5,), (0.2,))": "labels of type torch.int32: give class indices",
    "Images(pixels, labels[:3], (0.5,), (0.2,))": "4 images and 3 labels",
    "Images(pixels, labels, (0.5, 0.5), (0.2,))": "1 channels, 2 means and 1 standard deviations",
    "Images(pixels, labels, (0.5,), (0.0,))": "must be above 0",
    "Images(pixels, labels, (0.5,), (0.2,), 3)": "labels from 0 to 3: must lie between 0 and 2",
    "Images(pixels, labels - 1, (0.5,), (0.2,))": "labels from -1 to 2",
}


def test_every_mistake_is_told_in_one_line() -> None:
    # In an interpreter of its own: the checked annotations of the other tests would speak first.
    code = SETTING + "".join(f"told(lambda: {mistake})\n" for mistake in MISTAKES)
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(MISTAKES)
    for line, says in zip(lines, MISTAKES.values(), strict=True):
        assert says in line


def test_a_checksum_tells_pixels_labels_and_parts_apart() -> None:
    one = _images()
    pixels, labels = one.pixels.clone(), one.labels.clone()
    pixels[3, 1, 2, 2] ^= 1
    labels[3] = 2
    sets = [one, Images(pixels, one.labels, MEAN, STD, 3), Images(one.pixels, labels, MEAN, STD, 3)]
    sets.append(one.subset(torch.arange(11)))
    sums = [
        ImageTask("set", *parts).checksum for parts in [(s, one, one) for s in sets] + [(one, s, one) for s in sets]
    ]
    # The unchanged set comes twice.
    assert len(set(sums)) == len(sums) - 1
    assert sums[0] == ImageTask("called otherwise", _images(), _images(), _images()).checksum
    channels_last = Images(one.pixels.to(memory_format=torch.channels_last), one.labels, MEAN, STD, 3)
    assert ImageTask("set", channels_last, one, one).to("cpu").checksum == sums[0]
    empty = one.subset(torch.zeros(12, dtype=torch.bool))
    assert ImageTask("set", one, empty, one).checksum != sums[0]


def test_parts_of_different_kinds_are_refused() -> None:
    one = _images()
    with pytest.raises(InputError, match=r"unseen images \(3, 4, 4\)"):
        ImageTask("set", one, Images(one.pixels[..., :4], one.labels, MEAN, STD, 3), one)
    with pytest.raises(InputError, match="test images are normalised otherwise"):
        ImageTask("set", one, one, Images(one.pixels, one.labels, STD, STD, 3))


def test_a_missing_class_is_named() -> None:
    images = _images(classes=3)
    require_every_class(images, "cats")
    with pytest.raises(InputError, match="cats: none of the 8 is of class 1; take more"):
        require_every_class(images.subset(images.labels != 1), "cats")


def test_no_number_takes_everything_in_order() -> None:
    images = _images()
    assert torch.equal(draw_subset(images, None, _stream(), "cats").pixels, images.pixels)


@given(total=st.integers(0, 60), data=st.data())
def test_a_draw_puts_nothing_back_and_begins_a_larger_one(total: int, data: st.DataObject) -> None:
    small = data.draw(st.integers(0, total))
    large = data.draw(st.integers(small, total))
    few, many = (draw_indices(total, num, _stream(), "cats").tolist() for num in (small, large))
    assert many[:small] == few
    assert len(set(many)) == large
    assert set(many) <= set(range(total))


@pytest.mark.parametrize("num", [-1, 13])
def test_too_many_are_refused(num: int) -> None:
    with pytest.raises(InputError, match=f"{num} cats requested, but there are 12"):
        draw_subset(_images(), num, _stream(), "cats")


def test_what_is_held_out_depends_on_seed_and_number_alone() -> None:
    images = _images(60)
    cut = [
        divide(images, num_unseen=20, num_train=num, data_seed=seed, name="cats")
        for num, seed in ((None, 0), (30, 0), (30, 1))
    ]
    for train, unseen in cut:
        assert len(unseen) == 20
        assert not _rows(train) & _rows(unseen)
    assert [len(train) for train, _ in cut] == [40, 30, 30]
    assert _rows(cut[0][0]) | _rows(cut[0][1]) == _rows(images)
    assert torch.equal(cut[0][1].pixels, cut[1][1].pixels)
    assert not torch.equal(cut[1][1].pixels, cut[2][1].pixels)


def test_nothing_need_be_held_out_but_something_must_stay() -> None:
    train, unseen = divide(_images(), num_unseen=0, num_train=None, data_seed=0, name="cats")
    assert (len(train), len(unseen)) == (12, 0)
    with pytest.raises(InputError, match="12 cats images to hold out as unseen would leave none of 12"):
        divide(_images(), num_unseen=12, num_train=None, data_seed=0, name="cats")
    with pytest.raises(InputError, match="-1 cats images"):
        divide(_images(), num_unseen=-1, num_train=None, data_seed=0, name="cats")
