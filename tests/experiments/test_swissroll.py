import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from basinscope.cli import main
from basinscope.experiments.claims import Claim
from basinscope.experiments.swissroll.config import PRESETS
from basinscope.experiments.swissroll.tasks import NET, panel_nets, tasks
from basinscope.losses import is_correct
from basinscope.runs import records
from basinscope.runs.store import find_runs
from tests.stored import assert_same_arrays, the_run

COMMAND = [sys.executable, "-m", "basinscope", "run", "swissroll", "--preset", "smoke", "--out"]


def test_claimed_accuracy_is_that_of_the_stored_weights(smoke: Path) -> None:
    run = the_run(smoke)
    samples = run.dataset("train")
    weights = run.weights("weights-worst")
    inputs = torch.tensor(samples["inputs"].values, dtype=torch.float32)
    hits = is_correct(NET.logits(weights["beta0.3-run0"][None], inputs[None]), torch.tensor(samples["labels"].values))
    stored = run.dataset("nets-worst")["train_accuracy"].sel(net="beta0.3-run0")
    assert hits.double().mean().item() == float(stored)


def test_slices_through_the_minimum_show_the_stored_loss(smoke: Path) -> None:
    run = the_run(smoke)
    nets = xr.concat([run.dataset("nets-natural"), run.dataset("nets-worst")], "net")
    for name in ("slice", "inset"):
        found = run.dataset(name)
        middle = found["loss"].sel(first=0, second=0)
        expected = nets["clean_loss"].sel(net=found["net"])
        np.testing.assert_allclose(middle, expected, rtol=1e-3, atol=1e-9)
        assert np.abs(found["cosine"]).max() < 1e-5


def test_scaled_networks_share_one_clean_loss(smoke: Path) -> None:
    found = the_run(smoke).dataset("radius-beta0.3-scaled")
    np.testing.assert_allclose(found["center_loss"], PRESETS["smoke"].scaled_loss, rtol=1e-3)


def test_a_result_that_was_altered_is_computed_again(smoke: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(smoke, out)
    path = the_run(out).path / "results" / "boundary.nc"
    path.write_bytes(path.read_bytes()[:-100])
    assert main([*COMMAND[3:], str(out)]) == 0
    assert_same_arrays(smoke, out)


def test_divergence_names_member_and_step_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*COMMAND[3:], str(tmp_path), "--set", "swissroll.learning_rate=1e30", "--set", "swissroll.runs=1"]
    assert main(words) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "beta0-run0 at step" in error
    assert "beta0.3-run0 at step" in error


def test_networks_that_did_not_fit_are_marked_and_the_run_goes_on(tmp_path: Path) -> None:
    few = ["steps=50", "worst_steps=50", "runs=2", "num_directions=5", "slice_resolution=3"]
    settings = [word for setting in few for word in ("--set", f"swissroll.{setting}")]
    assert main([*COMMAND[3:], str(tmp_path), *settings]) == 0
    volume = the_run(tmp_path).dataset("volume-beta0.3")
    assert np.isnan(volume["log_volume"]).all()
    assert (volume["status"] == -1).all()
    claims = json.loads((tmp_path / "swissroll" / "claims.json").read_text())
    (share,) = (c for c in claims if "could be measured" in c["claim"])
    assert share["measured"] < 1
    assert share["holds"] is False
    assert all(c["holds"] is False for c in claims if c["measured"] is None and c["target"])


def test_runs_of_a_release_with_other_settings_can_still_be_drawn(smoke: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    shutil.copytree(smoke, out)
    path = the_run(out).path / "config.json"
    record = records.read(path)
    assert record is not None
    record["config"]["of_another_release"] = 1
    del record["config"]["warmup"]
    records.write_record(path, record)
    assert main(["plot", "--out", str(out)]) == 0


def test_panels_are_the_nearest_fitted_networks_each_once() -> None:
    gaps = np.array([0.01, 0.14, 0.16, 0.5, 0.44, 0.76])
    train = np.array([1.0, 0.9, 1.0, 1.0, 1.0, 1.0])
    nets = xr.Dataset({"gap": ("net", gaps), "train_accuracy": ("net", train)}, {"net": [f"n{i}" for i in range(6)]})
    assert panel_nets(nets) == ["n0", "n2", "n4", "n3", "n5"]


def test_every_task_has_its_own_name() -> None:
    names = [task.name for task in tasks(PRESETS["paper"])]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("target", "measured", "holds"),
    [(">= 0.9", 0.9, True), ("<= 0.1", 0.2, False), ("== 1", 1.0, True), ("", 5.0, None), (">= 0", np.nan, False)],
)
def test_a_claim_holds_when_its_target_is_met(target: str, measured: float, holds: bool | None) -> None:
    claim = Claim(
        figure="f",
        claim="c",
        published=None,
        target=target,
        measured=measured,
        unit="1",
        num=1,
        spread=(measured, measured),
        preset="smoke",
        data="d",
    )
    assert claim.holds is holds
    assert claim.to_json()["measured"] == (None if np.isnan(measured) else measured)


def test_a_reproducible_run_is_eager_and_a_run_of_its_own(smoke: Path, tmp_path: Path) -> None:
    few = ["steps=50", "worst_steps=50", "runs=1", "num_directions=5", "slice_resolution=3", "settle_loss=9"]
    settings = [word for setting in few for word in ("--set", f"swissroll.{setting}")]
    for more in ([], ["--reproducible"]):
        assert main([*COMMAND[3:], str(tmp_path), "--data-seed", "7", *settings, *more]) == 0
    found = {run.name: run.read_json("backend.json") for run in find_runs(tmp_path, ["swissroll"])}
    assert sorted(record["reason"] for record in found.values() if record) == [
        "eager requested",
        "the work is shorter than a compilation",
    ]
    assert main(["plot", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "swissroll" / "claims.json").read_text())[0]["data"] == "swiss roll, draw 7"
