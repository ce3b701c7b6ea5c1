"""What holds for every experiment, on its smoke preset."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from basinscope.cli import main
from basinscope.experiments.registry import NAMES, load_experiment
from basinscope.plots.style import ONE_COLUMN, TWO_COLUMNS
from tests.stored import the_run


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_drawn_and_small(smoke: Path, name: str) -> None:
    for stem in load_experiment(name).figures:
        if (smoke / name / f"{stem}.gif").exists():
            assert (smoke / name / f"{stem}.gif").stat().st_size <= 8 * 2**20
            continue
        pixels = imread(smoke / name / f"{stem}.png")
        assert min(pixels.shape[:2]) > 500
        assert np.ptp(pixels[..., :3]) > 0.9
        assert (smoke / name / f"{stem}.svg").stat().st_size <= 2 * 2**20
        # As wide as one column or two, type embedded.
        printed = (smoke / name / f"{stem}.pdf").read_bytes()
        box = re.search(rb"/MediaBox \[ ?0 0 ([0-9.]+) ", printed)
        assert box
        assert float(box[1]) / 72 in (pytest.approx(ONE_COLUMN, abs=0.01), pytest.approx(TWO_COLUMNS, abs=0.01))
        assert b"/FontFile2" in printed
        assert b"/Type3" not in printed


@pytest.mark.parametrize("name", NAMES)
def test_claims_have_the_published_format(smoke: Path, name: str) -> None:
    claims = json.loads((smoke / name / "claims.json").read_text())
    keys = ["figure", "claim", "published", "target", "measured", "unit", "num", "spread", "holds", "preset", "data"]
    still = {stem for stem in load_experiment(name).figures if (smoke / name / f"{stem}.png").exists()}
    assert {c["figure"] for c in claims} == still
    assert len({c["claim"] for c in claims}) == len(claims), "every claim says something of its own"
    for claim in claims:
        assert list(claim) == keys
        assert claim["preset"] == "smoke"
        assert claim["holds"] in (True, False, None)
        assert (claim["holds"] is None) == (claim["target"] is None)
        assert len(claim["spread"]) == 2


def test_finished_runs_are_not_repeated(smoke: Path, tmp_path: Path) -> None:
    # That the same seed gives the same arrays is shown for all experiments by the runs that are killed and resumed.
    out = tmp_path / "copy"
    shutil.copytree(smoke, out)
    results = [the_run(out, name).path / "results" for name in NAMES]
    stamps = {p: p.stat().st_mtime_ns for folder in results for p in folder.iterdir()}
    assert {p.parent for p in stamps} == set(results)
    assert main(["run", "all", "--preset", "smoke", "--out", str(out)]) == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


@pytest.mark.parametrize("name", NAMES)
def test_figures_and_claims_come_back_from_stored_results_alone(smoke: Path, tmp_path: Path, name: str) -> None:
    run = the_run(smoke, name)
    shutil.copytree(run.path, tmp_path / "runs" / run.name)
    shutil.rmtree(tmp_path / "runs" / run.name / "weights")
    assert main(["plot", name, "--out", str(tmp_path)]) == 0
    for file in (smoke / name).glob("*.[jp]*"):
        assert (tmp_path / name / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_a_valid_configuration_with_tasks(name: str) -> None:
    experiment = load_experiment(name)
    # Downloaded images have a size of their own for two cores.
    assert set(experiment.presets) == {"smoke", "quick", "paper"} | ({"laptop"} if experiment.reads_files else set())
    for config in experiment.presets.values():
        tasks = experiment.tasks(config)
        assert len({task.name for task in tasks}) == len(tasks)
        assert all(task.cost > 0 for task in tasks)
