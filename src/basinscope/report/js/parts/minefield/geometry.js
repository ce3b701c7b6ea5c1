// Geometry of the map: visible range and orientation.

/**
 * Axis ranges with equal scales for x and y.
 * @param {ArrayLike<number>} xs
 * @param {ArrayLike<number>} ys
 * @param {number} width
 * @param {number} height
 * @returns {View}
 */
function equalView(xs, ys, width, height) {
  const ends = (/** @type {ArrayLike<number>} */ values) => [
    Math.min(...Array.from(values)),
    Math.max(...Array.from(values)),
  ];
  const [[left, right], [bottom, top]] = [ends(xs), ends(ys)];
  const unit = 1.12 * Math.max((right - left) / width, (top - bottom) / height);
  const [x, y] = [(left + right) / 2, (bottom + top) / 2];
  return {
    left: x - (unit * width) / 2,
    right: x + (unit * width) / 2,
    bottom: y - (unit * height) / 2,
    top: y + (unit * height) / 2,
  };
}

/**
 * Rotate a map that is taller than wide by 90°; its orientation is arbitrary.
 * @param {number[]} xs
 * @param {number[]} ys
 */
function laidDown(xs, ys) {
  const reach = (/** @type {number[]} */ values) => Math.max(...values) - Math.min(...values);
  if (reach(ys) <= reach(xs)) return [xs, ys];
  const forwards = ys[0] < ys[ys.length - 1];
  return [ys.map((y) => (forwards ? y : -y)), xs];
}
