"""Largest eigenvalues, trace and density of the Hessian; and sharpness in a ball."""

from digits import batches, loss_fn, trained

import basinscope as bs

objective = bs.Objective(trained(steps=100), loss_fn, batches, unit="nat")
curvature = bs.curvature(objective, top=5, density=True)
bs.plot(curvature).savefig("04_curvature.png")
bs.plot({"plain": bs.sharpness(objective, rho=0.5)}).savefig("04_sharpness.png")
print(curvature["eigenvalue"].values, float(curvature["trace"]), "±", float(curvature["trace_stderr"]))
