// Selection of a network on the minefield's map, and its description.

/**
 * The network nearest to a point of the map.
 * @param {MinefieldData} data
 * @param {View} plane  Visible range of the map.
 * @param {{x: number, y: number}} point  In fractions of the map's width and height, from the top left.
 * @param {boolean} pathOnly  Whether to consider only networks on the path.
 */
function nearestOnMap({ xs, ys, onPath }, plane, { x, y }, pathOnly) {
  const last = pathOnly ? onPath : xs.length;
  const at = [plane.left + x * (plane.right - plane.left), plane.top - y * (plane.top - plane.bottom)];
  const away = xs.slice(0, last).map((value, k) => (value - at[0]) ** 2 + (ys[k] - at[1]) ** 2);
  return away.indexOf(Math.min(...away));
}

/**
 * @param {MinefieldData} data
 * @param {number} net
 */
function minefieldTitle({ onPath, epochs, starts, hits }, net) {
  if (net < onPath) return `Ordinary training, epoch ${tidy(epochs[net], 4)}`;
  const k = net - onPath;
  return `${hits[k] ? "Bad minimum" : "Failed search"}, started at epoch ${tidy(starts[k], 4)}`;
}

/**
 * Texts of the two sliders.
 * @param {MinefieldData} data
 * @param {number} net
 */
function minefieldPlaces({ onPath, epochs, starts }, net) {
  return net < onPath
    ? { path: `epoch ${tidy(epochs[net], 4)}`, minima: "–" }
    : { path: "–", minima: `from epoch ${tidy(starts[net - onPath], 4)}` };
}
