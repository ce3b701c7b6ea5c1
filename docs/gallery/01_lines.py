"""Two networks along random lines, on one scale."""

from digits import batches, loss_fn, trained

import basinscope as bs

lines = {}
for steps in (40, 400):
    objective = bs.Objective(trained(steps=steps), loss_fn, batches, unit="nat")
    lines[f"{steps} updates"] = bs.slice1d(objective, seed=0)
bs.plot(lines).savefig("01_lines.png")
