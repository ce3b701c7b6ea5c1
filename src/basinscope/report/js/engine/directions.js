// Random filter-normalised directions, reproducible from a seed.

/**
 * Seeded generator of standard normal numbers (Mulberry32; Box and Muller 1958).
 * @param {number} seed
 * @returns {() => number}
 */
function gaussian(seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  let spare = NaN;
  return () => {
    if (!Number.isNaN(spare)) {
      const second = spare;
      spare = NaN;
      return second;
    }
    const length = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    spare = length * Math.sin(angle);
    return length * Math.cos(angle);
  };
}

/**
 * Draw a filter-normalised direction (Li et al. 2018): the change of each unit's weights has the norm of these weights;
 * biases do not move.
 * @param {Shape} shape
 * @param {Floats} center
 * @param {number} seed
 * @returns {Float64Array}
 */
function randomDirection(shape, center, seed) {
  const draw = gaussian(seed);
  const direction = new Float64Array(shape.size);
  for (const { fanIn, fanOut, weight } of shape.layers) {
    for (let row = weight; row < weight + fanIn * fanOut; row += fanIn) {
      let length = 0;
      let norm = 0;
      for (let k = row; k < row + fanIn; k++) {
        direction[k] = draw();
        length += direction[k] ** 2;
        norm += center[k] ** 2;
      }
      const scale = Math.sqrt(norm / length);
      for (let k = row; k < row + fanIn; k++) direction[k] *= scale;
    }
  }
  return direction;
}
