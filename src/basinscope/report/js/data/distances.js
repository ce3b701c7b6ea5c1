// How far weights are pushed.

/** Distances in filter norms between which the slider moves, evenly on a log scale. */
const PUSHED = { nearest: 1e-4, farthest: 0.6, steps: 240 };

/**
 * Distance at a place of a slider; the first place is the minimum itself.
 * @param {number} place
 */
function pushedDistance(place) {
  const { nearest, farthest, steps } = PUSHED;
  return place === 0 ? 0 : nearest * (farthest / nearest) ** ((place - 1) / (steps - 1));
}
