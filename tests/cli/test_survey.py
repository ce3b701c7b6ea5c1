import functools
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import basinscope as bs
from basinscope.cli import main
from tests.problems import small_net

PROBLEM = """
from tests.problems import sample_losses as loss_fn, small_batches, small_net
model, batches, unit = small_net(), small_batches(), "nat"
"""
QUICK = ["--directions", "4", "--resolution", "3", "--line-resolution", "5", "--lines", "2", "--top", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints of one network, measured and compared."""
    place = tmp_path_factory.mktemp("own net")
    (place / "problem.py").write_text(PROBLEM, encoding="utf-8")
    save_file(small_net(1).state_dict(), place / "good.safetensors")
    torch.save({"state_dict": small_net(2).state_dict()}, place / "bad.pt")
    checkpoints = ["--checkpoint", str(place / "good.safetensors"), "--checkpoint", str(place / "bad.pt")]
    assert main(["measure", str(place / "problem.py"), *checkpoints, *QUICK, "--out", str(place / "out")]) == 0
    assert main(["compare", "good", "bad", "--out", str(place / "out")]) == 0
    return place


def test_figures_numbers_and_page_are_there(folder: Path) -> None:
    out = folder / "out"
    for name in ("measured/good", "measured/bad", "compared/good-bad"):
        made = {path.name for path in (out / name).iterdir()} - {".lock"}
        drawn = {
            f"{probe}.{kind}"
            for probe in ("slice1d", "slice2d", "radius", "volume", "curvature", "sharpness")
            for kind in ("png", "svg", "pdf")
        }
        assert made == drawn | {"summary.json", "summary.txt", "run.json"}
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "The loss around a network" in page
    assert page.count("<img ") == 18
    assert "basin radius, median" in page
    numbers = json.loads((out / "compared/good-bad/summary.json").read_text(encoding="utf-8"))
    assert set(numbers) == {"good", "bad"}


def test_numbers_are_those_of_the_checkpoint_through_the_library(folder: Path) -> None:
    from tests.problems import around

    numbers = json.loads((folder / "out/measured/good/summary.json").read_text(encoding="utf-8"))["good"]
    told = {row["name"]: row["value"] for row in numbers}
    objective = around(small_net(1))
    assert told["loss"] == pytest.approx(objective.center_loss)
    radii = bs.basin_radius(objective, num_directions=4)
    assert told["basin radius, median"] == pytest.approx(float(radii["radius"].median()), rel=0.01)
    assert told["eigenvalue 1 of the Hessian"] == pytest.approx(float(bs.curvature(objective, top=2)["eigenvalue"][0]))


def test_running_again_does_nothing_and_status_and_verify_know_it(folder: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["measure", str(folder / "problem.py"), "--checkpoint", str(folder / "bad.pt"), *QUICK]
    assert main([*words, "--out", str(folder / "out")]) == 0
    assert "bad: 0 of 5 tasks run now" in capsys.readouterr().out
    assert main(["status", "--out", str(folder / "out")]) == 0
    assert len(re.findall(r"measure-\w+ \((good|bad)\): 5 of 5 tasks, finished", capsys.readouterr().out)) == 2
    assert main(["verify", "--out", str(folder / "out")]) == 0


def test_an_interrupted_survey_goes_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["measure", str(folder / "problem.py"), *QUICK, "--out", str(tmp_path)]

    @functools.wraps(bs.curvature)
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("basinscope.probes.curvature.curvature", stop)
        assert main(words) == 130
    (run,) = (tmp_path / "runs").iterdir()
    kept = {path: path.stat().st_mtime_ns for path in (run / "results").iterdir()}
    assert {path.stem for path in kept} == {"slice1d", "slice2d", "radius-0"}
    assert main(words) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_hostile_names_are_escaped(folder: Path, tmp_path: Path) -> None:
    name = "<img src=x onerror=alert(1)>"
    words = ["measure", str(folder / "problem.py"), "--name", name, "--probe", "slice1d", *QUICK]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "<img src=x" not in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["measure", "nowhere.py"], "nowhere.py: not found; name a Python file"),
        (["measure", "PROBLEM", "--probe", "volume"], "--probe volume: choose from slice1d"),
        (["measure", "PROBLEM", "--checkpoint", "none.pt"], "none.pt: not found"),
        (["measure", "PROBLEM", "--directions", "1"], "--directions 1: must be at least 2"),
        (["measure", "PROBLEM", "--rise", "0"], "--rise 0.0: must be above 0"),
        (["measure", "PROBLEM", "--rise", "1", "--cutoff", "1"], "not allowed with"),
        (["measure", "PROBLEM", "--cutoff", "1e-9", "--probe", "radius"], "not below cutoff"),
        (["measure", "PROBLEM", "--device", "abacus"], "device 'abacus' is not available"),
        (["compare", "good"], "compare needs two runs or more"),
        (["compare", "good", "ugly"], "no run 'ugly'"),
        (["compare", "good", "good"], "good is given twice"),
    ],
)
def test_mistakes_are_told_in_one_line(
    folder: Path, words: list[str], says: str, capsys: pytest.CaptureFixture
) -> None:
    given = [str(folder / "problem.py") if word == "PROBLEM" else word for word in words]
    assert main([*given, "--out", str(folder / "out")]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert says in told[-1]
    assert told[-1].startswith("basinscope: ")


def test_networks_that_do_not_compare_are_told_of(folder: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["measure", str(folder / "problem.py"), "--name", "far", "--probe", "radius", "--rise", "0.5"]
    assert main([*words, "--directions", "4", "--out", str(folder / "out")]) == 0
    assert main(["compare", "good", "far", "--out", str(folder / "out")]) == 0
    assert "note: the cutoffs range from" in capsys.readouterr().out


def test_problems_of_one_file_are_told_apart_by_their_names(tmp_path: Path) -> None:
    text = PROBLEM + "\ndef tenfold():\n    return model, lambda m, b: 10 * loss_fn(m, b), batches\n"
    (tmp_path / "problem.py").write_text(text, encoding="utf-8")
    losses = []
    for address in ("problem.py", "problem.py:tenfold"):
        words = [
            "measure",
            str(tmp_path / address),
            "--probe",
            "sharpness",
            "--name",
            address.partition(":")[2] or "one",
        ]
        assert main([*words, "--out", str(tmp_path / "out")]) == 0
        summary = tmp_path / "out" / "measured" / words[-1] / "summary.json"
        rows = next(iter(json.loads(summary.read_text(encoding="utf-8")).values()))
        losses.append({row["name"]: row["value"] for row in rows}["loss"])
    assert losses[1] == pytest.approx(10 * losses[0])


def test_an_error_in_the_loss_function_is_one_line_that_names_its_place(tmp_path: Path, capsys) -> None:
    text = PROBLEM + "\ndef loss_fn(model, batch):\n    return model(batch['x'])\n"
    (tmp_path / "problem.py").write_text(text, encoding="utf-8")
    assert main(["measure", str(tmp_path / "problem.py"), "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith(f"basinscope: {tmp_path / 'problem.py'}: loss_fn fails at line 6: TypeError: ")


@pytest.mark.parametrize("fault", ["shape", "cutoff"])
def test_every_checkpoint_is_looked_at_before_the_first_is_measured(
    folder: Path, tmp_path: Path, capsys, fault
) -> None:
    good, second = folder / "good.safetensors", tmp_path / "second.safetensors"
    net = small_net(2)
    with torch.no_grad():
        net[4].weight.mul_(30)
    save_file((small_net(widths=(3, 9, 4, 3)) if fault == "shape" else net).state_dict(), second)
    words = ["measure", str(folder / "problem.py"), "--checkpoint", str(good), "--checkpoint", str(second)]
    more = ["--cutoff", "1.5"] if fault == "cutoff" else []
    assert main([*words, *more, *QUICK, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert f"{second}" in told[0]
    assert ("does not fit" if fault == "shape" else "not below --cutoff 1.5; give a higher cutoff, or --rise") in told[
        0
    ]
    assert not list((tmp_path / "out").glob("runs/*/results/*"))


def test_figures_that_take_the_place_of_another_runs_are_told_of(folder: Path, tmp_path: Path, capsys) -> None:
    words = ["measure", str(folder / "problem.py"), "--name", "same", "--probe", "sharpness", "--out", str(tmp_path)]
    assert main(words) == 0
    assert main(words) == 0
    assert "these figures replace" not in capsys.readouterr().out
    assert main([*words, "--seed", "1"]) == 0
    assert re.search(r"these figures replace those of run measure-\w+; use --name", capsys.readouterr().out)


def _spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize(
    "name", ["measured/good/radius.png", "measured/bad/summary.json", "compared/good-bad/run.json"]
)
def test_verify_looks_at_figures_and_tables_of_own_networks(
    folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder / "out", out)
    assert main(["verify", "--out", str(out)]) == 0
    _spoil(out / name)
    assert main(["verify", "--out", str(out)]) == 1
    assert name.rsplit("/", 1)[1] in capsys.readouterr().out


def test_damaged_results_are_neither_compared_nor_drawn(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder / "out", out)
    run = json.loads((out / "measured/good/run.json").read_text(encoding="utf-8"))["run"]
    path = out / "runs" / run / "results" / "radius-0.nc"
    radii = bs.load(path)
    radii["radius"][0] *= 50
    bs.save(radii, path)
    for words in (["compare", "good", "bad"], ["plot", "good"]):
        assert main([*words, "--out", str(out)]) == 1
        told = capsys.readouterr().err
        assert "radius-0.nc: does not match its checksum; recompute it with basinscope measure" in told
    assert main(["plot", "--out", str(out)]) == 0
    assert "skipping good" in caplog.text
    assert "bad: figures in" in capsys.readouterr().out


def test_plot_draws_own_networks_again(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "out"
    shutil.copytree(folder / "out", out)
    for name in ("measured/good", "compared/good-bad"):
        before = {path.name: path.read_bytes() for path in (out / name).iterdir()}
        (out / name / "radius.png").unlink()
        assert main(["plot", Path(name).name, "--out", str(out)]) == 0
        assert {path.name: path.read_bytes() for path in (out / name).iterdir()} == before
    capsys.readouterr()
    assert main(["plot", "--out", str(out)]) == 0
    own = [path.parent.name for path in out.glob("*/*/run.json")]
    assert len(own) >= 3
    assert capsys.readouterr().out.count(": figures in ") == len(own)


def test_a_checkpoint_that_is_not_finite_is_named_before_the_first_is_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    spoiled = {name: tensor * float("nan") for name, tensor in small_net(1).state_dict().items()}
    save_file(spoiled, tmp_path / "nan.safetensors")
    both = ["--checkpoint", str(folder / "good.safetensors"), "--checkpoint", str(tmp_path / "nan.safetensors")]
    assert main(["measure", str(folder / "problem.py"), *both, *QUICK, "--out", str(tmp_path / "out")]) == 2
    assert "nan.safetensors: the loss at the network's current weights is nan" in capsys.readouterr().err
    assert not (tmp_path / "out" / "measured").exists()


def test_one_network_under_two_settings_is_compared_and_the_page_tells_what_does_not_compare(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = str(tmp_path / "out")
    words = ["measure", str(folder / "problem.py"), "--checkpoint", str(folder / "bad.pt"), *QUICK, "--out", out]
    for rise in ("0.1", "0.2"):
        assert main([*words, "--rise", rise, "--probe", "radius"]) == 0
    runs = [str(path) for path in sorted((tmp_path / "out" / "runs").iterdir())]
    assert main(["compare", *runs, "--out", out]) == 0
    told = capsys.readouterr().out
    assert f"bad ({Path(runs[1]).name})" in told
    assert "note: the cutoffs range from" in told
    assert "the cutoffs range from" in (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert main(["compare", runs[0], runs[0], "--out", out]) == 2
    assert "given twice" in capsys.readouterr().err
    # From another folder, too, where no run lies that could be drawn again.
    elsewhere = str(tmp_path / "elsewhere")
    assert main(["compare", *runs, "--out", elsewhere]) == 0
    assert main(["verify", "--out", elsewhere]) == 0
    (name,) = (path.name for path in (tmp_path / "elsewhere" / "compared").iterdir())
    assert main(["plot", name, "--out", elsewhere]) == 1
    assert f"is missing, so {name} cannot be redrawn" in capsys.readouterr().err
