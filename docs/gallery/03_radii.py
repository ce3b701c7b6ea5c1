"""How wide two basins are, with what tells whether their volumes can be trusted."""

from digits import batches, loss_fn, trained

import basinscope as bs

radii = {}
for steps in (100, 1000):
    objective = bs.Objective(trained(steps=steps), loss_fn, batches, unit="nat")
    radii[f"{steps} updates"] = bs.basin_radius(objective, cutoff=0.5, num_directions=100, num_scanned=5)
for name, found in radii.items():
    volume = bs.log_volume(found)
    mean, error, effective = (float(volume[v]) for v in ("mean_n_log_r", "mean_n_log_r_stderr", "effective_rays"))
    print(f"{name}: mean of n·log r {mean:.0f} ± {error:.0f}; {effective:.1f} effective rays of 100")
bs.plot(radii).savefig("03_radii.png")
