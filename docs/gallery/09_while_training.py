"""The largest Hessian eigenvalue during full-batch gradient descent: it rises to 2/η and stays there."""

import torch
from digits import batches, inputs, labels

import basinscope as bs


def squared_error(model, batch):
    return (model(batch[0]) - torch.nn.functional.one_hot(batch[1], 10)).square().sum(1) / 2


torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.15)
objective = bs.Objective(model, squared_error, batches, one_dim="moved")
recorder = bs.Recorder(model, every=20, probes=objective, optimizer=optimizer)
for _ in range(1000):
    optimizer.zero_grad()
    squared_error(model, (inputs, labels)).mean().backward()
    optimizer.step()
    recorder.step()
bs.plot(recorder.measured()).savefig("09_while_training.png")
