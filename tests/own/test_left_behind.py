"""What is refused before anything is measured leaves nothing behind."""

import re

import pytest
import torch

import basinscope as bs
from basinscope.cli import main
from basinscope.errors import InputError
from tests.anyones import perceptron, sample_losses, vectors

PROBLEM = """
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).eval()
batches = [(torch.randn(8, 3), torch.arange(8) % 2)]

def loss_fn(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
"""


@pytest.fixture
def problem(tmp_path):
    (tmp_path / "good.py").write_text(PROBLEM)
    (tmp_path / "nan.py").write_text(PROBLEM + "\nbatches[0][0][:] = float('nan')\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["measure", "nowhere.py"], "not found"),
        (["measure", "nan.py"], "nothing can be measured around it"),
        (["measure", "good.py", "--checkpoint", "nowhere.pt"], "not found"),
        (["measure", "good.py", "--probe", "linear_path"], "needs other checkpoints"),
        (["compare", "one", "two"], "no run 'one'"),
        (["compare", "one"], "two runs or more"),
    ],
)
def test_a_refused_command_leaves_no_folder(arguments, says, problem, monkeypatch, capsys):
    monkeypatch.chdir(problem)
    before = sorted(problem.iterdir())
    assert main([*arguments, "--out", "new/out"]) == 2
    assert re.search(says, capsys.readouterr().err)
    assert [path for path in sorted(problem.iterdir()) if path.name != "__pycache__"] == before


def test_status_knows_only_what_was_begun(problem, monkeypatch, capsys):
    monkeypatch.chdir(problem)
    (problem / "out").mkdir()
    (problem / "out" / "mine").write_text("kept")
    assert main(["measure", "nan.py", "--out", "out"]) == 2
    assert main(["status", "--out", "out"]) == 0
    assert "no runs in out" in capsys.readouterr().out
    assert [path.name for path in (problem / "out").iterdir()] == ["mine"]
    assert main(["measure", "good.py", "--probe", "slice1d", "--line-resolution", "3", "--out", "out"]) == 0
    assert main(["measure", "nan.py", "--out", "out"]) == 2
    capsys.readouterr()
    main(["status", "--out", "out"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "1 of 1 tasks, finished" in lines[0]


def test_a_refused_survey_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match="nothing can be measured"):
        bs.survey(perceptron(), lambda m, b: sample_losses(m, b) * torch.nan, vectors(), out=tmp_path / "a" / "b")
    objective = bs.Objective(perceptron(), sample_losses, vectors())
    with pytest.raises(InputError, match="does not fit"):
        bs.survey(objective, checkpoints=[{"x": torch.zeros(2)}], out=tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
