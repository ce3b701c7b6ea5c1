"""A user's mistakes at the library's door get one clear sentence."""

import subprocess
import sys

SETTING = """
import torch
import basinscope as bs
from basinscope.errors import InputError

net, points = bs.MLP((2, 3, 1)), torch.zeros(4, 2)
many = bs.MLP((2, 3, 3))
objective = bs.Objective(torch.nn.Linear(2, 2).eval(), lambda model, batch: model(batch).square().sum(1), [points])

def member(labels, features=2):
    samples = bs.Samples(torch.zeros(len(labels), features), torch.tensor(labels))
    return bs.Member(name="mine", seed=0, schedule=bs.Schedule(steps=1, learning_rate=0.1), train=samples)

def told(mistake):
    try:
        mistake()
    except InputError as error:
        print(error)
    else:
        print("nothing was said")
"""

MISTAKES = {
    "bs.Samples(points, torch.zeros(3).long())": "4 inputs and 3 labels",
    "bs.Samples(points, torch.zeros(4))": "give class indices",
    "bs.StackTrainer(net, [])": "no members",
    "bs.StackTrainer(net, [member([0, 1, 2])])": "labels must lie between 0 and 1",
    "bs.StackTrainer(net, [member([0, 1], features=3)])": "the network takes (n, 2)",
    "bs.CleanLoss(net, bs.Samples(torch.zeros(4, 3), torch.zeros(4).long()))": "the network takes (n, 2)",
    "bs.decision_boundary(many, torch.zeros(many.layout.num_parameters), extent=1.0, resolution=3)": "3 outputs",
    "bs.Normalization(net.layout, 'row')": "scheme = 'row': choose from filter",
    "bs.PointObjective(len, net.layout, backend='fast')": "backend = 'fast': choose from eager",
    "bs.MLP((2, 1), glorot='he')": "glorot = 'he': choose from uniform",
    "bs.Schedule(steps=1, learning_rate=1.0, decay='line')": "decay = 'line': choose from cosine",
    "bs.plot([3])": "give a result, or several by name: plot({'good': one, 'bad': other})",
    "bs.plot({'a': 3})": "give a result, or several by name",
    "bs.plot(bs.slice2d(objective, resolution=3, progress=False), cmap=3)": "plot: cmap is an int: must be a name",
    "bs.Recorder('x')": "Recorder: model is a str: pass an nn.Module",
    "bs.Objective('x', len, [])": "model is a str: pass an nn.Module",
    "bs.survey(objective, probes={'slice1d': 3})": "probe = slice1d: its options are an int: give a dictionary",
    "bs.slice1d(3)": "slice1d: an int is not a landscape: pass bs.Objective",
    "bs.save({'loss': 1}, 'x.nc')": "save: a dict is not a result; give a dataset that a probe returned",
}


def test_every_mistake_is_told_in_one_line() -> None:
    # In an interpreter of its own: the checked annotations of the other tests would speak first.
    code = SETTING + "".join(f"told(lambda: {mistake})\n" for mistake in MISTAKES)
    lines = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) == len(MISTAKES)
    for line, says in zip(lines, MISTAKES.values(), strict=True):
        assert says in line
