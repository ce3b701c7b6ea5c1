from pathlib import Path

import pytest
import torch

import basinscope as bs
from basinscope.errors import InputError
from basinscope.landscape.module.journal import Journal
from tests.anyones import perceptron, sample_losses, vectors


class Stops:
    """A loss that is interrupted after so many calls."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __call__(self, model, batch):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return sample_losses(model, batch)


def _objective(path: Path | None, loss=sample_losses, seed: int = 0, batches=None) -> bs.Objective:
    # One by one: what an interruption has paid for is counted point by point.
    return bs.Objective(perceptron(seed=seed), loss, batches or vectors(), journal=path, points_at_once=1)


def test_what_was_interrupted_comes_out_bit_for_bit_the_same_and_is_paid_for_once(tmp_path: Path):
    path = tmp_path / "evaluations.jsonl"
    plain = _objective(None)
    whole = bs.basin_radius(plain, rise=0.1, num_directions=6, num_scanned=2)
    with pytest.raises(KeyboardInterrupt):
        bs.basin_radius(_objective(path, Stops(40)), rise=0.1, num_directions=6, num_scanned=2)
    kept = len(path.read_text().splitlines())
    assert kept > 5

    again = _objective(path)
    found = bs.basin_radius(again, rise=0.1, num_directions=6, num_scanned=2)
    assert found.identical(whole)
    assert again.num_evaluations == plain.num_evaluations - kept

    third = _objective(path)
    assert bs.basin_radius(third, rise=0.1, num_directions=6, num_scanned=2).identical(whole)
    assert third.num_evaluations == 4, "the check and the rounding of the loss alone"


def test_slices_are_taken_up_too(tmp_path: Path):
    path = tmp_path / "evaluations.jsonl"
    plain = _objective(None)
    whole = bs.slice2d(plain, resolution=5)
    with pytest.raises(KeyboardInterrupt):
        bs.slice2d(_objective(path, Stops(30)), resolution=5)
    assert path.exists()
    again = _objective(path)
    assert bs.slice2d(again, resolution=5).identical(whole)
    assert again.num_evaluations < plain.num_evaluations


@pytest.mark.parametrize("change", ["weights", "batches", "loss", "trained on", "one_dim"])
def test_another_network_batches_or_loss_never_takes_what_is_not_its_own(tmp_path: Path, change: str):
    path = tmp_path / "evaluations.jsonl"
    first = _objective(path)
    bs.slice1d(first, num_directions=1, resolution=5)
    options = {"points_at_once": 1}
    if change == "one_dim":
        options["one_dim"] = "moved"
    model, batches, loss = perceptron(seed=int(change == "weights")), vectors(), sample_losses
    if change == "batches":
        batches = batches[:1]
    if change == "loss":
        loss = lambda model, batch: 2 * sample_losses(model, batch)  # noqa: E731
    if change == "trained on":
        model = first.model
        with torch.no_grad():
            model[0].weight.data[0, 0] += 0.5
    wanted = bs.slice1d(bs.Objective(model, loss, batches, **options), num_directions=1, resolution=5)
    objective = first if change == "trained on" else bs.Objective(model, loss, batches, journal=path, **options)
    assert bs.slice1d(objective, num_directions=1, resolution=5).identical(wanted)
    # What the first one kept is there still.
    back = _objective(path)
    bs.slice1d(back, num_directions=1, resolution=5)
    assert back.num_evaluations == 2


def test_a_torn_line_is_passed_over_and_nothing_is_joined_to_it(tmp_path: Path):
    path = tmp_path / "evaluations.jsonl"
    Journal(path, "a").keep([["0", 1, "filter", "0x1p+0"]], 0.1)
    whole = path.read_text()
    path.write_text(whole + whole[:-9])
    journal = Journal(path, "a")
    journal.keep([["0", 2, "filter", "0x1p+0"]], float("nan"))
    assert path.read_text().splitlines()[1] == whole[:-9]
    again = Journal(path, "a")
    assert again.find([["0", 1, "filter", "0x1p+0"]]) == 0.1
    assert str(again.find([["0", 2, "filter", "0x1p+0"]])) == "nan"
    assert again.find([["0", 3, "filter", "0x1p+0"]]) is None


@pytest.mark.parametrize("content", ["not a journal\n", "[1]\n", "\x89PNG\n"])
def test_a_file_that_holds_something_else_is_refused_before_anything_is_measured(tmp_path: Path, content: str):
    path = tmp_path / "evaluations.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match="is not a journal; choose another file"):
        _objective(path)
    assert path.read_text() == content
    with pytest.raises(InputError, match="is a folder"):
        _objective(tmp_path)
    with pytest.raises(InputError, match="its folder does not exist"):
        _objective(tmp_path / "nowhere" / "evaluations.jsonl")


def test_points_along_stored_directions_are_not_mistaken_for_one_another(tmp_path: Path):
    path = tmp_path / "evaluations.jsonl"
    ends = [perceptron(seed=k).state_dict() for k in (1, 2)]
    for end in ends:
        found = bs.linear_path(_objective(path), end, resolution=3)
        assert found.identical(bs.linear_path(_objective(None), end, resolution=3))
