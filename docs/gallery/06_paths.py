"""The paths of three optimizers from one start, on the plane of their main axes with the loss beneath."""

import torch
from digits import batches, loss_fn, trained

import basinscope as bs

paths, rates = {}, {torch.optim.SGD: 0.5, torch.optim.Adam: 0.01, torch.optim.RMSprop: 0.003}
for optimizer, rate in rates.items():

    def watch(model, name=optimizer.__name__):
        paths[name] = bs.Recorder(model, every=20)
        return paths[name].step

    model = trained(optimizer=optimizer, rate=rate, watch=watch)
plane = bs.slice2d(bs.Objective(model, loss_fn, batches, unit="nat"), directions="pca", points=paths)
bs.plot(plane).savefig("06_paths.png")
