from pathlib import Path

import pytest
import torch
import xarray as xr

from basinscope.results.convert import dataset
from basinscope.runs import parts
from basinscope.runs.engine import Context
from basinscope.runs.store import RunFolder


def _result(value: float) -> list[xr.Dataset]:
    one = dataset("samples", {"inputs": torch.full((2, 2), value), "labels": torch.zeros(2)})
    return [one, one + 1]


def _context(tmp_path: Path, shares: list[float]) -> Context:
    return Context(RunFolder(tmp_path), "measure", torch.device("cpu"), False, shares.append)


def test_an_interrupted_task_takes_up_what_it_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "KEEPING_SECONDS", -1.0)
    measured: list[str] = []

    def measure(key: str, stop: str = "c") -> list[xr.Dataset]:
        if key == stop:
            raise KeyboardInterrupt
        measured.append(key)
        return [part.assign_attrs(kind="samples", schema_version=1) for part in _result(ord(key))]

    shares: list[float] = []
    with pytest.raises(KeyboardInterrupt):
        parts.in_parts(_context(tmp_path, shares), "abcd", measure)
    assert shares == [0.25, 0.5]
    found = parts.in_parts(_context(tmp_path, shares), "abcd", lambda key: measure(key, stop=""))
    assert measured == ["a", "b", "c", "d"]
    for key, (first, second) in zip("abcd", found, strict=True):
        assert (first["inputs"] == ord(key)).all()
        assert (second["inputs"] == ord(key) + 1).all()


def test_a_damaged_part_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "KEEPING_SECONDS", -1.0)
    context = _context(tmp_path, [])
    parts.in_parts(context, "a", lambda key: _result(1.0)[:1])
    (file,) = context.folder.parts("measure").path.glob("results/*.nc")
    file.write_bytes(b"")
    found = parts.in_parts(context, "a", lambda key: _result(2.0)[:1])
    assert (found[0][0]["inputs"] == 2).all()


def test_quick_work_writes_nothing_and_finishing_clears_what_was_kept(tmp_path, monkeypatch):
    context = _context(tmp_path, [])
    parts.in_parts(context, "ab", lambda key: _result(1.0)[:1])
    assert not context.folder.parts("measure").path.exists()
    monkeypatch.setattr(parts, "KEEPING_SECONDS", -1.0)
    parts.in_parts(context, "ab", lambda key: _result(1.0)[:1])
    assert context.folder.parts("measure").path.exists()
    context.folder.finish("measure", {"x": _result(1.0)[0]})
    assert not context.folder.parts("measure").path.exists()
