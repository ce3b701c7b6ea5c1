// Names of experiments and of probes in the payload: one table each, newest name first.

/** @typedef {Record<string, Exhibit>} Exhibits  By the names that the experiments have in the payload. */

/** Experiments by what the parts of the page call them. */
const EXPERIMENTS = {
  minefield: ["minefield"],
  roll: ["swissroll"],
  images: ["image_minima", "svhn"],
  rings: ["rings"],
  optimizers: ["architectures", "cifar10"],
};

/** Probes of one's own networks by what the page calls them. */
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
  if (!exhibit) throw new Error(`no numbers of ${EXPERIMENTS[experiment].join(" or ")} on this page`);
  return exhibit;
}
