// The cutoff, and the numbers that follow from it.

/** Steps of the cutoff's slider. */
const CUTOFF_STEPS = 100;

/**
 * @typedef {"" | "_scaled"} Variant  As trained, or rescaled.
 *
 * @typedef {Object} BasinsState
 * @property {BasinsData} data
 * @property {number} cutoff
 * @property {string} measure  Variable on the vertical axis.
 * @property {Variant} variant
 */

/** Variables for the vertical axis: its title, and whether it is logarithmic. */
const MEASURES = /** @type {Record<string, [string, boolean]>} */ ({
  size: ["mean n·log₁₀ r [orders of magnitude]", false],
  radius: ["median radius [filter norms]", true],
  mean_curvature: ["mean curvature dᵀHd [nat]", true],
  top_eigenvalue: ["top eigenvalue of DHD [nat]", true],
  log10_volume: ["log₁₀ volume (lower bound)", false],
});

/**
 * Range of the cutoff slider.
 * @param {BasinsData} data
 */
function cutoffBounds({ facts }) {
  return [Math.max(facts.floor * 10, facts.cutoff / 20), Math.min(facts.ceiling ?? 10, facts.cutoff * 10) * 0.98];
}

/**
 * @param {BasinsData} data
 * @param {number} step  Step of the slider.
 */
function cutoffAt(data, step) {
  const [low, high] = cutoffBounds(data);
  return low * (high / low) ** (step / CUTOFF_STEPS);
}

/**
 * @param {BasinsData} data
 * @param {number} cutoff
 */
function stepOfCutoff(data, cutoff) {
  const [low, high] = cutoffBounds(data);
  const step = Math.round((CUTOFF_STEPS * Math.log(cutoff / low)) / Math.log(high / low));
  return Math.max(0, Math.min(CUTOFF_STEPS, step));
}

/**
 * Range of losses in the chart of lines.
 * @param {BasinsData} data
 */
function lineLimits({ facts }) {
  return { bottom: facts.floor, top: Math.min(facts.ceiling ?? 10, facts.cutoff * 100) };
}

/**
 * Median radius and mean n·log₁₀ r of a network at a cutoff, from its lines.
 * @param {BasinsData} data
 * @param {number} net
 * @param {number} cutoff
 */
function basinAt({ distances, rays, line, facts }, net, cutoff) {
  const radii = Array.from({ length: rays }, (_, ray) => crossing(distances, line(net, ray), cutoff));
  const known = radii.filter(Number.isFinite);
  return {
    radius: known.length ? median(known) : NaN,
    size: known.length ? facts.num_moved * mean(known.map(Math.log10)) : NaN,
    unbounded: radii.filter((r) => r === Infinity).length,
  };
}

/**
 * The same for both compared networks.
 * @param {BasinsState} state
 */
function comparedAt({ data, cutoff }) {
  return ROLES.map((role) => ({ role, net: data.compared[role], ...basinAt(data, data.compared[role], cutoff) }));
}

/**
 * Heights of all dots: at the current cutoff if recomputable from stored lines, else from the run.
 * @param {BasinsState} state
 * @returns {number[]}
 */
function heightsAt({ data, cutoff, measure, variant }) {
  if (variant === "" && data.everyLine && (measure === "size" || measure === "radius")) {
    return data.names.map((_, net) => basinAt(data, net, cutoff)[/** @type {"size"} */ (measure)]);
  }
  return data.all(measure + variant);
}

/**
 * Numbers that follow from the cutoff.
 * @param {BasinsState} state
 * @returns {[string, string][]}
 */
function basinsNumbers(state) {
  const { facts, rays } = state.data;
  const [good, bad] = comparedAt(state);
  const unbounded = good.unbounded + bad.unbounded;
  return [
    ["median radius, good", `${tidy(good.radius)} filter norms`],
    ["median radius, bad", `${tidy(bad.radius)} filter norms`],
    ["good ÷ bad", tidy(good.radius / bad.radius)],
    [
      `good basin larger by (n = ${facts.num_moved.toLocaleString("en-US")})`,
      `${tidy(good.size - bad.size, 4)} orders of magnitude`,
    ],
    ["based on", `${rays} lines per network${unbounded ? `; ${unbounded} never cross` : ""}`],
  ];
}
