from pathlib import Path

import numpy as np
import pytest
import torch

from basinscope.errors import DamagedResultError
from basinscope.results.convert import dataset
from basinscope.runs.store import RunFolder, TensorFile, run_hash

BOUNDARY = {"x": np.arange(3.0), "y": np.arange(2.0), "logit": np.arange(6.0).reshape(2, 3)}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "swissroll", {"seed": 0}, "source")


def test_hash_names_configuration_seed_and_source() -> None:
    base = run_hash({"seed": 0, "runs": 1}, "a")
    assert base == run_hash({"runs": 1, "seed": 0}, "a")
    assert len({base, run_hash({"seed": 1, "runs": 1}, "a"), run_hash({"seed": 0, "runs": 1}, "b")}) == 3


def test_what_is_stored_comes_back(folder: RunFolder) -> None:
    weights = {"net": torch.randn(5)}
    folder.finish("task/1", {"b": dataset("boundary", BOUNDARY), "w": weights, "j": {"a": 1}}, seconds=1.0)
    assert folder.is_done("task/1")
    assert folder.dataset("b")["logit"].values.tolist() == BOUNDARY["logit"].tolist()
    assert folder.dataset("b")["logit"].attrs["units"] == "nat"
    assert torch.equal(folder.weights("w")["net"], weights["net"])
    assert folder.read_json("results/j.json") == {"a": 1}


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "remove"])
def test_a_damaged_file_undoes_its_task(folder: RunFolder, damage: str) -> None:
    folder.finish("t", {"b": dataset("boundary", BOUNDARY)})
    path = folder.path / "results" / "b.nc"
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes({"truncate": content[:-7], "empty": b"", "flip": content}[damage])
    assert not folder.is_done("t")


def test_a_half_written_marker_does_not_count(folder: RunFolder) -> None:
    folder.finish("t", {"b": dataset("boundary", BOUNDARY)})
    marker = folder.path / "done" / "t.json"
    marker.write_text(marker.read_text()[:20])
    assert not folder.is_done("t")


def test_an_unreadable_result_is_named(folder: RunFolder) -> None:
    (folder.path / "results").mkdir()
    (folder.path / "results" / "b.nc").write_bytes(b"no netCDF")
    with pytest.raises(DamagedResultError, match=r"b\.nc"):
        folder.dataset("b")


def test_checkpoint_returns_tensors_and_note(tmp_path: Path) -> None:
    file = TensorFile(tmp_path / "c" / "stack.safetensors", tmp_path / "aside")
    assert file.load() is None
    file.save({"a": torch.arange(3)}, "step 7")
    loaded = file.load()
    assert loaded is not None
    assert loaded[1] == "step 7"
    assert torch.equal(loaded[0]["a"], torch.arange(3))
    file.path.write_bytes(file.path.read_bytes()[:10])
    assert file.load() is None


def test_of_two_processes_that_settle_a_record_the_first_decides(folder: RunFolder) -> None:
    assert folder.settle_json("backend.json", {"backend": "eager"}) == {"backend": "eager"}
    assert folder.settle_json("backend.json", {"backend": "compiled"}) == {"backend": "eager"}
    assert folder.read_json("backend.json") == {"backend": "eager"}
    assert [path.name for path in folder.path.iterdir() if path.name.startswith(".")] == []


def test_a_record_is_settled_where_the_file_system_has_no_links(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr("basinscope.runs.store.os.link", refuse)
    assert folder.settle_json("backend.json", {"backend": "eager"}) == {"backend": "eager"}
