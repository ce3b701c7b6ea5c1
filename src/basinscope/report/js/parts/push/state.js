// Where the two minima are pushed, and how far.

/**
 * @typedef {Object} PushState
 * @property {"random" | "sharpest"} kind  Of direction.
 * @property {number} seed  Of the random direction.
 * @property {number} distance
 * @property {number[]} losses  Of the good and of the bad net, where they are.
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
