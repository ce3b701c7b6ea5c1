"""Train and test loss and error along one line, all from one pass over each data set."""

from digits import inputs, labels, loss_fn, trained

import basinscope as bs


def error(model, batch):
    return (model(batch[0]).argmax(1) != batch[1]).float()


sets = {"train": [(inputs[:300], labels[:300])], "test": [(inputs[300:], labels[300:])]}
model = trained(batch=sets["train"][0])
objective = bs.Objective(model, loss_fn, sets, metrics={"error": error}, unit="nat")
line = bs.slice1d(objective, seed=0, num_directions=1)
bs.plot(line, title="Train and test").savefig("08_train_and_test.png")
