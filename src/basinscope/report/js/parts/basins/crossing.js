// Finds where the loss along a line exceeds a cutoff.

/**
 * First distance at which the loss along a line exceeds the cutoff; log losses are interpolated linearly.
 * @param {ArrayLike<number>} distances
 * @param {ArrayLike<number>} losses
 * @param {number} cutoff
 * @returns {number} NaN if the line begins above the cutoff, infinity if it never exceeds it.
 */
function crossing(distances, losses, cutoff) {
  for (let k = 0; k < losses.length; k++) {
    if (losses[k] <= cutoff) continue;
    if (k === 0) return NaN;
    // Lines end at a ceiling; the crossing is somewhere before the next point.
    if (!Number.isFinite(losses[k])) return (distances[k - 1] + distances[k]) / 2;
    const [a, b] = [Math.log(losses[k - 1]), Math.log(losses[k])];
    const share = b > a ? (Math.log(cutoff) - a) / (b - a) : 0.5;
    return distances[k - 1] + share * (distances[k] - distances[k - 1]);
  }
  return Infinity;
}
