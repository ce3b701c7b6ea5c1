// The cutoff, and what follows from it.

/** Places of the cutoff's slider. */
const CUTOFF_STEPS = 100;

/**
 * @typedef {"" | "_scaled"} Variant  As trained, or rescaled.
 *
 * @typedef {Object} BasinsState
 * @property {BasinsData} data
 * @property {number} cutoff
 * @property {string} measure  Number that is drawn against the gap.
 * @property {Variant} variant
 */

/** Numbers that can be drawn against the gap: title of the axis, and whether it is logarithmic. */
const MEASURES = /** @type {Record<string, [string, boolean]>} */ ({
  size: ["mean n·log₁₀ r [orders of magnitude]", false],
  radius: ["median radius [filter norms]", true],
  sharpness: ["sharpness, mean dᵀHd [nat]", true],
  top_eigenvalue: ["top eigenvalue of DHD [nat]", true],
  log10_volume: ["log₁₀ volume, lower bound", false],
});

/**
 * Cutoffs between which the slider moves.
 * @param {BasinsData} data
 */
function cutoffBounds({ facts }) {
  return [Math.max(facts.floor * 10, facts.cutoff / 20), Math.min(facts.ceiling ?? 10, facts.cutoff * 10) * 0.98];
}

/**
 * @param {BasinsData} data
 * @param {number} place  Of the slider.
 */
function cutoffAt(data, place) {
  const [low, high] = cutoffBounds(data);
  return low * (high / low) ** (place / CUTOFF_STEPS);
}

/**
 * @param {BasinsData} data
 * @param {number} cutoff
 */
function placeOfCutoff(data, cutoff) {
  const [low, high] = cutoffBounds(data);
  const place = Math.round((CUTOFF_STEPS * Math.log(cutoff / low)) / Math.log(high / low));
  return Math.max(0, Math.min(CUTOFF_STEPS, place));
}

/**
 * Losses between which lines are drawn.
 * @param {BasinsData} data
 */
function lineLimits({ facts }) {
  return { bottom: facts.floor, top: Math.min(facts.ceiling ?? 10, facts.cutoff * 100) };
}

/**
 * Radii, and the mean of n·log₁₀ r, from a network's lines at a cutoff.
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
 * Both compared networks at the cutoff.
 * @param {BasinsState} state
 */
function comparedAt({ data, cutoff }) {
  return ROLES.map((role) => ({ role, net: data.compared[role], ...basinAt(data, data.compared[role], cutoff) }));
}

/**
 * The number of every network that is drawn against the gap: at the moved cutoff where lines allow it, else the run's.
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
 * What the cutoff means in numbers.
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
      `good larger, in ${facts.num_moved.toLocaleString("en-US")} dimensions, by`,
      `${tidy(good.size - bad.size, 4)} orders of magnitude`,
    ],
    ["from", `${rays} lines each${unbounded ? `; ${unbounded} never cross` : ""}`],
  ];
}
