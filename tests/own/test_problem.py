import inspect
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from basinscope.errors import InputError
from basinscope.landscape.module.objective import Objective
from basinscope.own.networks import of_problem
from basinscope.own.problem import OPTIONS, load_problem
from basinscope.own.problem import PARTS as PARTS_OF_A_FILE

PARTS = "from torch import nn\nmodel = nn.Linear(2, 2)\nbatches = [1]\ndef loss_fn(model, batch): return model\n"


def _write(folder: Path, text: str) -> str:
    path = folder / "problem.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_names_in_the_file_are_taken(tmp_path):
    found = load_problem(_write(tmp_path, PARTS + "unit = 'nat'\nother = 3\n"))
    assert set(found.parts) == {"model", "loss_fn", "batches", "unit"}
    assert found.parts["unit"] == "nat"


def test_all_settings_of_an_objective_can_be_given(tmp_path):
    parameters = set(inspect.signature(Objective).parameters)
    assert {*PARTS_OF_A_FILE, *OPTIONS} == parameters - {"journal"}  # a run resumes without one
    found = load_problem(_write(tmp_path, PARTS + "masks = 'zeros'\ninstance = lambda: nn.Linear(2, 2)\n"))
    assert found.parts["masks"] == "zeros"
    assert isinstance(found.parts["instance"](), nn.Linear)


def test_masks_and_instances_of_a_file_reach_the_objective(tmp_path):
    text = """
import threading, torch
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.lock = nn.Linear(2, 2), threading.Lock()
        self.layer.weight.data.copy_(torch.tensor([[1.0, 0.0], [2.0, 3.0]]))
    def forward(self, inputs): return self.layer(inputs)
model, instance, masks = Net().eval(), Net, "zeros"
batches = [torch.ones(3, 2)]
def loss_fn(model, batch): return model(batch).square().sum(1)
"""
    problem = load_problem(_write(tmp_path, text))
    state = tmp_path / "state.pt"
    weight = torch.tensor([[0.0, 0.0], [2.0, 3.0]])
    torch.save({"layer.weight": weight, "layer.bias": torch.zeros(2)}, state)
    (own,) = of_problem(problem, [], name=None, device=None)
    assert own.opened().num_moved == 3
    (other,) = of_problem(problem, [state], name=None, device=None)
    assert other.opened().num_moved == 2
    assert other.opened().center_loss == 25


@pytest.mark.parametrize("gives", ["(1, 2, 3)", "dict(model=1, loss_fn=2, batches=3)"])
@pytest.mark.parametrize("name", ["problem", "other"])
def test_a_function_is_called_for_a_tuple_or_a_dictionary(tmp_path, gives, name):
    address = _write(tmp_path, f"{PARTS}def {name}(): return {gives}\n") + (":other" if name == "other" else "")
    assert dict(load_problem(address).parts) == {"model": 1, "loss_fn": 2, "batches": 3}


def test_what_lies_beside_the_file_can_be_imported_and_leaves_no_trace(tmp_path):
    import sys

    (tmp_path / "beside_it.py").write_text("batches = [7]\n", encoding="utf-8")
    before = list(sys.path)
    found = load_problem(_write(tmp_path, "from beside_it import batches\nmodel = loss_fn = 1\n"))
    assert found.parts["batches"] == [7]
    assert sys.path == before


def test_the_checksum_follows_the_text(tmp_path):
    first = load_problem(_write(tmp_path, PARTS)).checksum
    assert load_problem(_write(tmp_path, PARTS)).checksum == first
    assert load_problem(_write(tmp_path, PARTS + "# more\n")).checksum != first


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("model = 1\nloss_fn = 2\n", "", "defines no batches; it must define model, loss_fn, batches"),
        ("x = 1\n1 / 0\n", "", "fails at line 2: ZeroDivisionError: division by zero"),
        ("x = (\n", "", "fails at line 1: SyntaxError"),
        ("import nowhere_at_all\n", "", "No module named 'nowhere_at_all'"),
        (PARTS, ":mine", "defines no mine"),
        ("def problem():\n    x = 1\n    return x[0]\n", "", "problem() fails at line 3: TypeError"),
        ("def problem(): return 1, 2\n", "", "gives 2 values: give model, loss_fn, batches"),
        ("def problem(): return 'net'\n", "", "gives a str: give model, loss_fn, batches"),
        (
            "def mine(): return dict(model=1, loss_fn=2, batches=3, rho=4)\n",
            ":mine",
            "mine gives rho; allowed are model",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path, text, name, says):
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        load_problem(_write(tmp_path, text) + name)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="not found; name a Python file"):
        load_problem(str(tmp_path / "none.py"))
