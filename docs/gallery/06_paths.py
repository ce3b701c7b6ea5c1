"""The paths of three optimizers from one start: on the plane of their main axes with the loss beneath, and by t-SNE."""

import torch
from digits import batches, loss_fn, trained

import basinscope as bs

paths, rates = {}, {torch.optim.SGD: 0.5, torch.optim.Adam: 0.01, torch.optim.RMSprop: 0.003}
for optimizer, rate in rates.items():

    def watch(model, name=optimizer.__name__):
        paths[name] = bs.Recorder(model, every=20)
        return paths[name].step

    model = trained(optimizer=optimizer, rate=rate, watch=watch)
objective = bs.Objective(model, loss_fn, batches, unit="nat")
bs.plot(bs.slice2d(objective, directions="pca", points=paths)).savefig("06_paths.png")
bs.plot(bs.tsne(objective, points=paths, perplexity=8)).savefig("06_map.png")
