"""An experiment as a call: the same run as the command's."""

import json
from pathlib import Path

import pytest

import basinscope as bs
from basinscope.errors import InputError
from tests.stored import the_run


def test_the_call_finds_the_run_of_the_command_and_does_nothing(smoke: Path) -> None:
    pointer = json.loads((smoke / "rings/run.json").read_text(encoding="utf-8"))
    found = bs.run("rings", preset="smoke", out=smoke, progress=False)
    assert (found.num_done, found.folder.name) == (0, pointer["run"])
    stored = json.loads((smoke / "rings/claims.json").read_text(encoding="utf-8"))
    assert [claim.to_json() for claim in found.claims] == stored
    run = the_run(smoke, "rings")
    assert set(found.datasets) == {path.stem for path in (run.path / "results").glob("*.nc")}
    assert all(path.exists() for path in (*found.figures, found.page))


def test_several_give_a_tuple_and_names_one_call_each(smoke: Path) -> None:
    (found,) = bs.run(["rings"], preset="smoke", out=smoke, progress=False)
    assert found.name == "rings"
    assert found.num_done == 0


@pytest.mark.parametrize(
    ("names", "given", "says"),
    [
        ("ringz", {}, "no experiment 'ringz'"),
        ("all", {}, r"give \['all'\]"),
        ("rings", {"jobs": 0}, "jobs = 0: must be at least 1"),
        ("rings", {"settings": {"stpes": 3}}, "no rings field 'stpes'"),
        (["rings", "minefield"], {"settings": {"steps": 3}}, "write 'NAME.steps'"),
        ("rings", {"engine": "cloud"}, "engine = cloud: choose from local, ray"),
        ("rings", {"data_dir": "."}, "^data_dir is for"),
    ],
)
def test_mistakes_are_told_in_the_words_of_python(
    tmp_path: Path, names: str | list[str], given: dict[str, object], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        bs.run(names, preset="smoke", out=tmp_path, **given)  # pyright: ignore
    assert not list(tmp_path.iterdir())
