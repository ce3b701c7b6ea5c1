// Samples in the plane, and the square that is drawn.

/**
 * A square around the origin.
 * @param {number} extent  Half the side length.
 * @returns {View}
 */
function squareView(extent) {
  return { left: -extent, right: extent, bottom: -extent, top: extent };
}

/**
 * @param {Result} result
 * @returns {Samples}
 */
function samplesOf(result) {
  return { inputs: /** @type {Floats} */ (numbers(result, "inputs")), labels: numbers(result, "labels") };
}
