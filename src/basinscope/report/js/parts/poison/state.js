// Selected poison factor and run, and numbers of their network.

/** Distances of the curve and bin edges of the histogram, in filter norms. */
const POISON_DISTANCES = logSpaced(PUSHED.nearest, PUSHED.farthest, 45);
const POISON_EDGES = logSpaced(1e-4, 1, 81);

/**
 * @typedef {Object} PoisonState
 * @property {number} level  Index of the poison factor.
 * @property {number} run
 * @property {number[]} curve  Losses along one direction.
 */

/**
 * @param {PoisonData} data
 * @param {PoisonState} state
 */
function poisonNet({ runs }, { level, run }) {
  return level * runs + run;
}

/**
 * @param {PoisonData} data
 * @param {PoisonState} state
 */
function poisonHue({ poisons }, { level }) {
  return poisonColour(level, poisons.length);
}

/**
 * Count the radii in each bin.
 * @param {PoisonData} data
 * @param {PoisonState} state
 * @returns {number[]}
 */
function poisonCounts(data, state) {
  const [first, second] = POISON_EDGES;
  const counts = new Array(POISON_EDGES.length - 1).fill(0);
  const ratio = Math.log(second / first);
  for (const radius of row(data.radii, poisonNet(data, state))) {
    const bin = Math.floor(Math.log(radius / first) / ratio);
    if (bin >= 0 && bin < counts.length) counts[bin] += 1;
  }
  return counts;
}

/**
 * Numbers of the selected network.
 * @param {PoisonData} data
 * @param {PoisonState} state
 * @returns {[string, string][]}
 */
function poisonNumbers(data, state) {
  const of = (/** @type {string} */ name) => data.of(name, poisonNet(data, state));
  return [
    ["training points right", percent(of("train_accuracy"))],
    ["fresh points right", percent(of("dense_accuracy"))],
    ["mean curvature", `${tidy(of("mean_curvature"))} nat`],
    ["median radius", `${tidy(of("radius"))} filter norms`],
    ["mean n·log₁₀ r", `${tidy(of("size"), 4)}`],
  ];
}
