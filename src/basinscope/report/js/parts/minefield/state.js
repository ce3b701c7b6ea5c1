// Which network of the minefield is chosen, and what is said of it.

/**
 * The network nearest to a point of the map.
 * @param {MinefieldData} data
 * @param {View} plane  What the map shows.
 * @param {{x: number, y: number}} point  Shares of the map's width and height, from the top left.
 * @param {boolean} pathOnly  Whether only networks of the path count.
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
  if (net < onPath) return `Good run, epoch ${tidy(epochs[net], 4)}`;
  const k = net - onPath;
  return `${hits[k] ? "Bad minimum" : "Failed search"}, sought from epoch ${tidy(starts[k], 4)}`;
}

/**
 * What the two sliders say.
 * @param {MinefieldData} data
 * @param {number} net
 */
function minefieldPlaces({ onPath, epochs, starts }, net) {
  return net < onPath
    ? { path: `epoch ${tidy(epochs[net], 4)}`, minima: "–" }
    : { path: "–", minima: `from epoch ${tidy(starts[net - onPath], 4)}` };
}
