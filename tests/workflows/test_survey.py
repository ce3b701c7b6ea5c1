"""A survey as a call: the same numbers as the command's, resumed, with failures named, and open to new probes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy

import basinscope as bs
from basinscope.cli import main
from basinscope.errors import InputError
from basinscope.own.request import SurveyRequest, options_by_probe
from basinscope.own.tasks import tasks
from basinscope.probes.options import Option
from basinscope.probes.rows import Row
from basinscope.probes.table import PROBES, Probe
from basinscope.runs.spelling import IN_PYTHON
from tests.anyones import untouched
from tests.problems import around, sample_losses, small_batches, small_net

PROBLEM = """
from tests.problems import sample_losses as loss_fn, small_batches, small_net
model, batches, unit = small_net(), small_batches(), "nat"
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("nets")
    (place / "problem.py").write_text(PROBLEM, encoding="utf-8")
    for seed, name in enumerate("abc", 1):
        save_file(small_net(seed).state_dict(), place / f"{name}.safetensors")
    return place


def test_the_call_measures_what_the_command_measures_and_is_resumed(files: Path, tmp_path: Path) -> None:
    words = ["measure", str(files / "problem.py"), "--checkpoint", str(files / "a.safetensors"), "--out"]
    more = ["--probe", "radius", "--directions", "3", "--probe", "slice1d", "--lines", "1", "--line-resolution", "3"]
    assert main([*words, str(tmp_path / "command"), *more]) == 0
    net = small_net()
    probes = {"basin_radius": {"num_directions": 3}, "slice1d": {"num_directions": 1, "resolution": 3}}
    given = {"checkpoints": {"a": small_net(1).state_dict()}, "probes": probes, "progress": False}
    with untouched(net):
        found = bs.survey(around(net), out=tmp_path / "call", **given)
    (run,) = (tmp_path / "command/runs").iterdir()
    for name, stem in (("basin_radius", "radius-0"), ("slice1d", "slice1d")):
        xr.testing.assert_identical(found.datasets["a"][name], bs.load(run / f"results/{stem}.nc"))
    assert "volume" in found.datasets["a"]
    summaries = [tmp_path / side / "measured/a/summary.json" for side in ("command", "call")]
    first, second = (json.loads(path.read_text(encoding="utf-8")) for path in summaries)
    assert first == second == {"a": [row.to_json() for row in found.rows["a"]]}
    assert found.page.exists()
    again = bs.survey(around(small_net()), out=tmp_path / "call", **given)
    assert (found.num_done, again.num_done) == (2, 0)
    # Other batches, another loss or other weights are another run.
    other = bs.survey(
        small_net(), lambda m, b: 2 * sample_losses(m, b), small_batches(), out=tmp_path / "call", **given
    )
    assert other.num_done == 2


def test_a_probe_that_cannot_be_measured_is_named_and_the_others_are_drawn(tmp_path: Path) -> None:
    def loss(model: torch.nn.Module, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return cross_entropy(model(batch[0]).detach(), batch[1], reduction="none")

    given = {"probes": {"curvature": {}, "slice1d": {"resolution": 3}}, "out": tmp_path, "progress": False}
    found = bs.survey(small_net(), loss, small_batches(), **given)
    assert set(found.datasets["model"]) == {"slice1d"}
    assert "cannot be differentiated by the moved weights" in found.failures["model"]["curvature"]
    assert any(note.startswith("curvature was not measured: ") for note in found.notes)
    assert "curvature was not measured" in (tmp_path / "measured/model/summary.txt").read_text(encoding="utf-8")
    # Drawn again, and shown on the page, it is still named.
    assert main(["plot", "model", "--out", str(tmp_path)]) == 0
    assert "curvature was not measured" in (tmp_path / "measured/model/summary.txt").read_text(encoding="utf-8")
    assert "curvature was not measured" in found.page.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="cannot be differentiated by the moved weights"):
        bs.survey(small_net(), loss, small_batches(), **(given | {"probes": ["curvature"]}))


def test_probes_between_checkpoints_from_the_command(files: Path, tmp_path: Path) -> None:
    words = ["measure", str(files / "problem.py"), "--out", str(tmp_path)]
    for name in "abc":
        words += ["--checkpoint", str(files / f"{name}.safetensors")]
    words += ["--probe", "connect", "--steps", "2", "--path-resolution", "3", "--probe", "slice2d", "--resolution", "3"]
    assert main([*words, "--plane", "between"]) == 0
    drawn = {place.name: {path.stem for path in place.glob("*.png")} for place in (tmp_path / "measured").iterdir()}
    assert drawn == {"a": {"connect"}, "b": {"connect"}, "c": {"slice2d"}}
    (run,) = [path for path in (tmp_path / "runs").iterdir() if (path / "results/slice2d.nc").exists()]
    plane = bs.slice2d(
        around(small_net(3)), directions="between", points=[small_net(1), small_net(2)], names=["a", "b"], resolution=3
    )
    xr.testing.assert_identical(bs.load(run / "results/slice2d.nc"), plane)


def test_probes_between_checkpoints_from_python(tmp_path: Path) -> None:
    checkpoints = {name: small_net(seed) for seed, name in enumerate("abc", 1)}
    probes = {"linear_path": {"resolution": 5}, "slice2d": {"directions": "pca", "resolution": 3}}
    found = bs.survey(around(small_net()), checkpoints=checkpoints, probes=probes, out=tmp_path, progress=False)
    assert {label: set(some) for label, some in found.datasets.items()} == {
        "a": {"linear_path"},
        "b": {"linear_path"},
        "c": {"slice2d"},
    }
    path = bs.linear_path(around(small_net(1)), small_net(2), resolution=5)
    np.testing.assert_array_equal(found.datasets["a"]["linear_path"]["loss"], path["loss"])
    assert list(found.datasets["c"]["slice2d"]["marker"].values) == ["model", "a", "b"]
    with pytest.raises(InputError, match="linear_path needs other checkpoints: give two or more"):
        bs.survey(around(small_net()), probes=["linear_path"], out=tmp_path, progress=False)


def test_a_new_probe_is_one_entry_of_the_table(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def toy(objective: bs.Objective, *, height: float = 1.5, progress: object = None) -> xr.Dataset:
        """Measure a toy.

        Args:
            objective: The loss.
            height: How tall the toy is.
            progress: Unused.
        """
        found = bs.slice1d(objective, num_directions=1, resolution=3, progress=False)
        return found.assign_attrs(height=height)

    monkeypatch.setitem(
        PROBES,
        "toy",
        Probe(
            name="toy",
            run=toy,
            options=(Option("height", "--height", above=0),),
            cost=lambda o: o["height"],
            rows=lambda found: [Row("height of the toy", found.attrs["height"], "", "m", 1)],
            drawn=lambda results: Figure(),
        ),
    )
    with pytest.raises(SystemExit):
        main(["measure", "--help"])
    assert re.search(r"--height HEIGHT\s+toy: How tall the toy is\s+\(default: 1.5\)", capsys.readouterr().out)
    words = ["measure", str(files / "problem.py"), "--out", str(tmp_path), "--probe", "toy"]
    assert main([*words, "--height", "0"]) == 2
    assert "--height 0.0: must be above 0" in capsys.readouterr().err
    assert main([*words, "--height", "2"]) == 0
    assert "height of the toy [m]" in capsys.readouterr().out
    assert (tmp_path / "measured/model/toy.png").exists()
    request = SurveyRequest(probes=options_by_probe({"toy": {}}, IN_PYTHON))
    assert [task.name for task in tasks(request, lambda: around(small_net()))] == ["toy"]


def test_old_flat_requests_are_still_read() -> None:
    old = {"problem": "p", "checkpoint": "c", "probes": ["slice1d", "radius"], "num_lines": 2, "num_directions": 45}
    found = SurveyRequest.restore({**old, "seed": 3, "line_resolution": 5, "num_scanned": 2, "foreign": 1})
    assert found.probes["slice1d"] == {"num_directions": 2, "resolution": 5, "seed": 3}
    names = [task.name for task in tasks(found, lambda: around(small_net()))]
    assert names == ["slice1d", "radius-0", "radius-1", "radius-2"]


def test_defaults_are_those_of_the_verbs_but_for_one() -> None:
    import inspect

    other = {
        (probe.name, option.name)
        for probe in PROBES.values()
        for option in probe.options
        if probe.defaults()[option.name] != inspect.signature(probe.verb).parameters[option.name].default
    }
    assert other == {("basin_radius", "num_scanned")}


@pytest.mark.parametrize(
    ("probes", "says"),
    [
        ({"volume": {}}, "probe = volume: choose from slice1d"),
        ({"sharpness": {"radius": 1}}, "sharpness has no option 'radius'; choose from rho"),
        ({"basin_radius": {"rise": 1.0, "cutoff": 1.0}}, "give cutoff or rise, not both"),
        ({"basin_radius": {"num_directions": 1}}, "num_directions = 1: must be at least 2"),
        ({"connect": {"other": 1}}, "connect has no option 'other'"),
    ],
)
def test_mistakes_are_told_in_the_words_of_python(
    tmp_path: Path, probes: dict[str, dict[str, object]], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        bs.survey(around(small_net()), probes=probes, out=tmp_path, progress=False)
