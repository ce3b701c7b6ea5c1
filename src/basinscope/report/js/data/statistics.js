// Simple statistics.

/**
 * Median of the finite values; NaN if there are none.
 * @param {ArrayLike<number>} values
 */
function median(values) {
  const known = Array.from(values)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const half = known.length >> 1;
  return known.length % 2 ? known[half] : 0.5 * (known[half - 1] + known[half]);
}

/** @param {ArrayLike<number>} values */
function mean(values) {
  const all = Array.from(values);
  return all.reduce((a, b) => a + b, 0) / all.length;
}

/**
 * Numbers evenly spaced on a log scale.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
function logSpaced(low, high, count) {
  return Array.from({ length: count }, (_, k) => low * (high / low) ** (k / (count - 1)));
}

/**
 * Index of the nearest value.
 * @param {ArrayLike<number>} values
 * @param {number} value
 */
function nearest(values, value) {
  const away = Array.from(values, (v) => Math.abs(v - value));
  return away.indexOf(Math.min(...away));
}

/**
 * @param {number[][]} rows
 */
function transposed(rows) {
  return rows[0].map((_, k) => rows.map((line) => line[k]));
}
