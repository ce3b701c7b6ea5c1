// Distances to which weights are pushed.

/** Range of the slider in filter norms, evenly spaced on a log scale. */
const PUSHED = { nearest: 1e-4, farthest: 0.6, steps: 240 };

/**
 * Distance at a step of the slider; step 0 is the minimum itself.
 * @param {number} step
 */
function pushedDistance(step) {
  const { nearest, farthest, steps } = PUSHED;
  return step === 0 ? 0 : nearest * (farthest / nearest) ** ((step - 1) / (steps - 1));
}
