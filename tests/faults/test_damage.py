"""Each kind of file, damaged in each way: noticed, named, set aside, made again."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from basinscope.cli import main
from basinscope.errors import DamagedResultError
from basinscope.runs import records
from basinscope.runs.store import TensorFile
from tests.stored import assert_same_arrays, the_run

RUN = ["run", "minefield", "--preset", "smoke", "--out"]
FILES = {
    "result": "results/path.nc",
    "weights": "weights/iterates.safetensors",
    "task marker": "done/seek-bad0.json",
    "configuration": "config.json",
    "provenance": "provenance.json",
    "finished mark": "finished.json",
}
TOGETHER = (("result", "task marker", "configuration"), ("weights", "provenance", "finished mark"))
"""What is damaged in one run: it tells each from the others."""
DAMAGES = ("truncated", "emptied", "one byte altered", "unreadable", "missing")


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how in ("missing", "unreadable"):
        path.unlink()
    if how == "unreadable":
        path.mkdir()  # reading fails, for the super-user too
    if how in ("truncated", "emptied"):
        path.write_bytes(content[: len(content) // 2 if how == "truncated" else 0])
    if how == "one byte altered":
        # A letter within a JSON value stays JSON; anywhere else any byte will do.
        place = content.rfind(b"minefield") if b"minefield" in content else len(content) // 2
        content[place] ^= 1
        path.write_bytes(content)


@pytest.fixture
def out(smoke: Path, tmp_path: Path) -> Path:
    """A finished run of the minefield alone."""
    run = the_run(smoke, "minefield")
    shutil.copytree(run.path, tmp_path / "runs" / run.name)
    shutil.copytree(smoke / "minefield", tmp_path / "minefield")
    return tmp_path


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kinds", TOGETHER, ids=" and ".join)
def test_damaged_files_are_named_set_aside_and_made_again(
    smoke: Path,
    out: Path,
    kinds: tuple[str, ...],
    how: str,
    outcome: Callable[[str, str, str], None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = the_run(out, "minefield")
    # Records of these kinds may be absent.
    noticed = [kind for kind in kinds if how != "missing" or kind not in ("provenance", "task marker")]
    for kind in kinds:
        damage(run.path / FILES[kind], how)
    assert main(["verify", "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert [kind for kind in kinds if str(run.path / FILES[kind]) in printed] == noticed
    assert main([*RUN, str(out)]) == 0
    logged = "\n".join(record.message for record in caplog.records)
    assert how == "missing" or all(str(run.path / FILES[kind]) in logged for kind in kinds)
    assert len(list((run.path / "damaged").glob("*"))) == (0 if how == "missing" else len(kinds))
    assert_same_arrays(smoke, out, "minefield")
    capsys.readouterr()
    assert main(["verify", "--out", str(out)]) == 0
    assert "files are intact" in capsys.readouterr().out
    for kind in kinds:
        records = ("configuration", "provenance", "finished mark")
        repaired = "written again" if kind in records else "computed again, same arrays"
        outcome(f"{kind} {how}", "finished run", repaired if how == "missing" else f"named, set aside, {repaired}")


@pytest.mark.parametrize("how", DAMAGES[:4])
def test_a_damaged_checkpoint_is_named_and_not_used(
    tmp_path: Path, how: str, outcome: Callable[[str, str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    file = TensorFile(tmp_path / "stack.safetensors", tmp_path / "damaged")
    file.save({"points": torch.arange(64.0)}, "step 50")
    damage(file.path, how)
    assert file.load() is None
    assert str(file.path) in caplog.text
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert file.load() is None
    outcome(f"checkpoint {how}", "unfinished task", "named, set aside, the task restarts")


def test_every_byte_of_a_checkpoint_counts(tmp_path: Path) -> None:
    file = TensorFile(tmp_path / "stack.safetensors", tmp_path / "damaged")
    file.save({"points": torch.arange(3.0)}, "step 50")
    content = file.path.read_bytes()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1
        file.path.write_bytes(altered)
        loaded = file.load()
        # A byte of padding, or of a number's spelling, may leave what is read as it was.
        if loaded is not None:
            assert loaded[1] == "step 50"
            assert torch.equal(loaded[0]["points"], torch.arange(3.0))
    file.path.write_bytes(content)
    assert file.load() is not None


def test_every_byte_of_a_record_counts(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    value = {"backend": "eager", "eager_us": 11.5, "nested": {"ä": [1, None, True]}}
    records.write_record(path, value)
    assert records.read(path) == value
    content = path.read_bytes()
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1
        path.write_bytes(altered)
        try:
            found = records.read(path)
        except DamagedResultError:
            continue
        assert found == value, "white space may change, values may not"


@pytest.mark.parametrize("name", ["claims.json", "1-minefield.png", "1-minefield.svg", "run.json"])
def test_a_damaged_figure_is_not_put_on_the_page(
    out: Path, name: str, capsys: pytest.CaptureFixture[str], outcome: Callable[[str, str, str], None]
) -> None:
    damage(out / "minefield" / name, "one byte altered")
    assert main(["verify", "--out", str(out)]) == 1
    assert main(["report", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert "basinscope plot minefield re-creates it" in error
    assert main(["plot", "minefield", "--out", str(out)]) == 0
    assert main(["report", "--out", str(out)]) == 0
    assert main(["verify", "--out", str(out)]) == 0
    kind = {"claims.json": "claims", "run.json": "pointer to the run"}.get(name, f"figure ({name[-3:].upper()})")
    outcome(f"{kind} altered", "output folder", "refused by name; `plot` re-creates it")


def test_an_altered_page_is_noticed(
    out: Path, capsys: pytest.CaptureFixture[str], outcome: Callable[[str, str, str], None]
) -> None:
    assert main(["report", "--out", str(out)]) == 0
    damage(out / "index.html", "one byte altered")
    assert main(["verify", "--out", str(out)]) == 1
    assert "index.html: does not match its checksum" in capsys.readouterr().out
    assert main(["report", "--out", str(out)]) == 0
    assert main(["verify", "--out", str(out)]) == 0
    outcome("page altered", "output folder", "named by `verify`; `report` re-creates it")


def test_damage_of_one_experiment_does_not_stop_the_others(
    smoke: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "copy"
    shutil.copytree(smoke, out)
    (out / "rings" / "claims.json").write_text("{")
    assert main([*RUN, str(out)]) == 0
    assert "rings/claims.json: does not match its checksum; basinscope plot rings re-creates it" in caplog.text
    assert "figures 3, 5 and 6" in (out / "index.html").read_text(encoding="utf-8")
    damage(the_run(out, "minefield").path / "config.json", "truncated")
    capsys.readouterr()
    assert main(["plot", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "rings: figures and claims" in told
    assert "minefield: figures" not in told
    assert main(["plot", "minefield", "--out", str(out)]) in (1, 2)


def test_a_missing_finished_mark_is_noticed(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (the_run(out, "minefield").path / "finished.json").unlink()
    assert main(["verify", "--out", str(out)]) == 1
    assert "finished.json: is missing" in capsys.readouterr().out


def test_status_counts_a_damaged_task_as_not_done(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(the_run(out, "minefield").path / "results/bad0.nc", "truncated")
    assert main(["status", "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "6 of 7 tasks" in told
    assert "some files are damaged; run again" in told


def test_a_configuration_of_another_run_is_noticed(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = the_run(out, "minefield").path / "config.json"
    record = records.read(path)
    assert record is not None
    record["config"]["seed"] = 5
    records.write_record(path, record)
    assert json.loads(path.read_text())["config"]["seed"] == 5
    assert main(["verify", "--out", str(out)]) == 1
    assert "belongs to minefield-" in capsys.readouterr().out
