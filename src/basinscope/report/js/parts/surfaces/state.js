// Plane and scale of the surfaces.

/**
 * @typedef {Object} SurfacesState
 * @property {Plane} plane
 * @property {"log" | "linear"} scale
 */

/**
 * Common limits of both surfaces' heights.
 * @param {SurfacesState} state
 * @returns {[number, number]}
 */
function surfaceLimits({ plane: { losses, floor }, scale }) {
  const all = losses.flat(2).filter(Number.isFinite);
  const top = all.reduce((a, b) => Math.max(a, b), floor);
  return scale === "log" ? [Math.log10(floor), Math.ceil(Math.log10(top))] : [0, top];
}

/**
 * Surface of the good (0) or the bad (1) minimum.
 * @param {SurfacesState} state
 * @param {number} index
 * @returns {Drawn}
 */
function surfaceOf(state, index) {
  const { x, y, losses, floor } = state.plane;
  const isLog = state.scale === "log";
  const [low, high] = surfaceLimits(state);
  const height = (/** @type {number} */ loss) =>
    Number.isFinite(loss) ? (isLog ? Math.log10(Math.max(loss, floor)) : loss) : null;
  const z = losses[index].map((line) => line.map(height));
  return { x, y, z, losses: losses[index], low, high, height: isLog ? "log₁₀ loss" : "loss [nat]" };
}
