"""Are two minima one valley? A straight line, a fitted curve, and the plane through three minima."""

from digits import batches, loss_fn, trained

import basinscope as bs

first, second, third = (trained(seed=seed) for seed in range(3))
objective = bs.Objective(first, loss_fn, batches, unit="nat")
bs.plot(bs.connect(objective, second)).savefig("05_curve.png")
bs.plot(bs.slice2d(objective, directions="between", points=[second, third])).savefig("05_between.png")
