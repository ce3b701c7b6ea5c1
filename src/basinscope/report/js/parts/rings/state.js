// State of the rings: gap, networks shown and zoom.

/**
 * @typedef {Object} RingsState
 * @property {number} pair  Index of the gap.
 * @property {number} zoom  In percent; 0 shows everything.
 * @property {Record<RingsRole, string>} names  Networks shown.
 */

/**
 * View that zooms in on the first point of the middle ring, halfway between two blue points.
 * @param {RingsData} data
 * @param {number} zoom
 * @returns {View}
 */
function ringsView({ whole, inner }, zoom) {
  const half = whole.right * (0.012 / whole.right) ** (zoom / 100);
  const share = Math.min(1, zoom / 30);
  const angle = Math.PI / 40;
  const x = share * inner * Math.cos(angle);
  const y = share * inner * Math.sin(angle);
  return { left: x - half, right: x + half, bottom: y - half, top: y + half };
}

/**
 * The magnification, as text.
 * @param {RingsData} data
 * @param {number} zoom
 */
function ringsZoom(data, zoom) {
  const view = ringsView(data, zoom);
  return zoom ? `${tidy(data.whole.right / ((view.right - view.left) / 2))}×` : "whole";
}

/**
 * Numbers of a network.
 * @param {RingsData} data
 * @param {string} name
 * @returns {[string, string][]}
 */
function ringsNumbers({ names, gaps, blue, red, rounded }, name) {
  const k = names.indexOf(name);
  const shares = [blue[k], red[k]];
  const drawn = rounded[name];
  /** @type {[string, string][]} */
  const entries = [
    ["gap", tidy(gaps[k])],
    ["blue ring classified correctly", percent(shares[0])],
    ["red ring classified correctly", percent(shares[1])],
  ];
  if (drawn && shares.some((share, c) => Math.abs(share - drawn[c]) > 5e-4)) {
    entries.push(["both, as drawn in half precision", drawn.map(percent).join(", ")]);
  }
  return entries;
}

/**
 * Random starts at a gap.
 * @param {RingsData} data
 * @param {number} gap
 */
function ringsStarts({ names, gaps, led }, gap) {
  return names.filter((_, k) => !led[k] && Math.abs(gaps[k] / gap - 1) < 1e-6);
}

/**
 * Share of networks that found the circle, by gap: [gap, share].
 * @param {RingsData} data
 * @param {number} kind  1 for networks led by closing the gap.
 */
function ringsShares({ names, gaps, holds, led }, kind) {
  /** @type {Map<number, number[]>} */
  const groups = new Map();
  names.forEach((_, k) => led[k] === kind && groups.set(gaps[k], [...(groups.get(gaps[k]) ?? []), holds[k]]));
  return [...groups.entries()].map(([gap, circles]) => [gap, mean(circles)]);
}
