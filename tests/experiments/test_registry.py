"""The contract of experiments, a new experiment by one line, and the names of earlier releases."""

import json
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from basinscope.cli import main
from basinscope.experiments import registry
from basinscope.experiments.contract import Experiment
from basinscope.report.page import write_page
from basinscope.runs import atomic, records
from basinscope.runs.store import RunFolder, run_hash
from tests.stored import the_run


@pytest.fixture(autouse=True)
def untold() -> Iterator[None]:
    """Every test is told of old names anew."""
    registry._warn.cache_clear()
    yield
    registry._warn.cache_clear()


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_experiment_fulfils_the_contract(name: str) -> None:
    experiment = registry.load_experiment(name)
    assert isinstance(experiment, Experiment)
    assert experiment.name == name
    assert experiment.summary
    assert all(isinstance(config, experiment.config) for config in experiment.presets.values())
    assert experiment.source == tuple(f"basinscope.experiments.{name}.{part}" for part in ("config", "tasks"))
    assert len(set(experiment.figures)) == len(experiment.figures) > 0
    for config in experiment.presets.values():
        stored = json.loads(json.dumps(asdict(config) | {"of another release": 1}))
        assert registry.restore(experiment, stored) == config


def test_an_experiment_is_a_folder_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "_MODULES", {**registry._MODULES, "question": "tests.experiments.question"})
    monkeypatch.setattr(registry, "NAMES", (*registry.NAMES, "question"))
    monkeypatch.setattr("basinscope.workflows.run.source_digest", lambda *modules: str(modules))
    words = ["--preset", "smoke", "--set", "question.height=2.5", "--out", str(tmp_path)]
    assert main(["run", "question", *words]) == 0
    assert "DOES NOT HOLD: height of the plane: 2.5 (>= 3)" in capsys.readouterr().out
    assert (tmp_path / "question" / "9-question.svg").exists()
    for verb in (["status"], ["verify"], ["plot", "question"], ["report"]):
        assert main([*verb, "--out", str(tmp_path)]) == 0
    assert re.search(r"^question-\w+: 1 of 1 tasks, finished", capsys.readouterr().out, re.MULTILINE)
    assert "height of the plane" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert main(["list", "question"]) == 0
    assert "height: Height of the plane in nats. [smoke 2.0, quick 3.0]" in capsys.readouterr().out


def test_old_names_are_accepted_and_told_of_once(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list", "cifar10"]) == 0
    assert capsys.readouterr().out.startswith("architectures: ")
    assert main(["run", "svhn", "--preset", "smoke", "--set", "svhn.runs=0"]) == 2
    assert "image_minima.runs = 0: must be at least 1" in capsys.readouterr().err
    assert main(["run", "rings", "--set", "svhn.runs=4"]) == 2
    assert "image_minima is not among the experiments (rings)" in capsys.readouterr().err
    assert [record.message for record in caplog.records] == [
        "the experiment cifar10 is now called architectures",
        "the experiment svhn is now called image_minima",
    ]


def test_new_names_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    assert [registry.resolve(name) for name in (*registry.NAMES, "all", "nothing")] == [
        *registry.NAMES,
        "all",
        "nothing",
    ]
    assert not caplog.records
    assert not set(registry.OLD_NAMES) & set(registry.NAMES)
    assert set(registry.OLD_NAMES.values()) <= set(registry.NAMES)
    stems = {stem for name in registry.NAMES for stem in registry.load_experiment(name).figures}
    assert set(registry.OLD_STEMS.values()) <= stems
    assert not set(registry.OLD_STEMS) & stems


@pytest.fixture
def earlier(smoke: Path, tmp_path: Path) -> Path:
    """An output folder of a release that called `image_minima` `svhn`: run, figures, claims."""
    out = tmp_path / "earlier"
    shutil.copytree(smoke / "image_minima", out / "svhn")
    run = the_run(smoke, "image_minima")
    stored = run.read_json("config.json")
    assert stored is not None
    name = f"svhn-{run_hash(stored['config'], stored['source'])}"
    folder = RunFolder(Path(shutil.copytree(run.path, out / "runs" / name)))
    folder.write_json("config.json", {**stored, "experiment": "svhn"})
    new = {stem: old for old, stem in registry.OLD_STEMS.items()}
    for file in list((out / "svhn").glob("?-image-minima.*")):
        file.rename(file.with_name(new[file.stem] + file.suffix))
    claims = json.loads((out / "svhn" / "claims.json").read_text(encoding="utf-8"))
    atomic.write_json(out / "svhn" / "claims.json", [claim | {"figure": new[claim["figure"]]} for claim in claims])
    files = [*(out / "svhn").glob("?-svhn.*"), out / "svhn" / "claims.json"]
    sums = {file.name: atomic.sha256(file) for file in files}
    records.write_record(out / "svhn" / "run.json", {"run": name, "files": sums})
    return out


def test_runs_under_an_old_name_are_shown_verified_and_drawn(
    smoke: Path, earlier: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--out", str(earlier)]) == 0
    assert re.fullmatch(r"svhn-\w+: 18 of 18 tasks, finished [^,]+, preset smoke\n", capsys.readouterr().out)
    assert main(["verify", "--out", str(earlier)]) == 0
    page = write_page(earlier).read_text(encoding="utf-8")
    for part in ("exhibit-image_minima", "figure-7-image-minima", "claims-7-image-minima"):
        assert f'id="{part}"' in page
    assert main(["plot", "svhn", "--out", str(earlier)]) == 0
    for file in (smoke / "image_minima").glob("*.[jps]*[!n]"):
        if file.name != "run.json":
            assert (earlier / "image_minima" / file.name).read_bytes() == file.read_bytes(), file.name
    assert {record.message for record in caplog.records if record.levelno >= logging.WARNING} == {
        "the experiment svhn is now called image_minima"
    }
    assert main(["plot", "--out", str(earlier)]) == 0
    assert main(["verify", "--out", str(earlier)]) == 0
