"""The loss on a plane of two random, filter-normalised directions, from above and as a surface."""

from digits import batches, loss_fn, trained

import basinscope as bs

objective = bs.Objective(trained(), loss_fn, batches, unit="nat")
plane = bs.slice2d(objective, seed=0, extent=1.5)
bs.save(plane, "02_plane.nc")
bs.plot(bs.load("02_plane.nc")).savefig("02_plane.png")
bs.plot(plane, surface=True).savefig("02_surface.png")
