// Names of experiments and probes in the payload, newest first.

/** @typedef {Record<string, Exhibit>} Exhibits  By name of the experiment in the payload. */

/** Experiments, by the name used in the page's parts. */
const EXPERIMENTS = {
  minefield: ["minefield"],
  roll: ["swissroll"],
  images: ["image_minima", "svhn"],
  rings: ["rings"],
  optimizers: ["architectures", "cifar10"],
};

/** Probes of the user's networks, by the name used in the page. */
const PROBES = {
  lines: ["slice1d"],
  radii: ["radius"],
  curvature: ["curvature"],
  planes: ["slice2d", "plane"],
};

/**
 * @param {Exhibits} exhibits
 * @param {keyof typeof EXPERIMENTS} experiment
 * @returns {Exhibit | undefined}
 */
function exhibitOf(exhibits, experiment) {
  const name = EXPERIMENTS[experiment].find((one) => exhibits[one]);
  return name === undefined ? undefined : exhibits[name];
}

/**
 * @param {Exhibits} exhibits
 * @param {keyof typeof EXPERIMENTS} experiment
 * @returns {Exhibit}
 */
function needed(exhibits, experiment) {
  const exhibit = exhibitOf(exhibits, experiment);
  if (!exhibit) throw new Error(`this page has no data of ${EXPERIMENTS[experiment].join(" or ")}`);
  return exhibit;
}
