// Direction and distance to which the two minima are pushed.

/**
 * @typedef {Object} PushState
 * @property {"random" | "sharpest"} kind  Kind of direction.
 * @property {number} seed  Seed of the random direction.
 * @property {number} distance
 * @property {number[]} losses  Losses of the good and the bad network at that distance.
 * @property {number[][]} curves  Losses of both along the direction.
 */

/** @returns {PushState} */
function pushStart() {
  return { kind: "random", seed: 1, distance: 0, losses: [NaN, NaN], curves: [[], []] };
}

/**
 * @param {PushState} state
 * @param {{sharpest: Floats}} side
 * @returns {Way}
 */
function pushWay({ kind, seed }, { sharpest }) {
  return kind === "random" ? { kind: "random", seed } : { kind: "given", values: sharpest };
}
