// Which gap is chosen, which networks stand side by side, and how close one looks.

/**
 * @typedef {Object} RingsState
 * @property {number} pair  Place of the gap.
 * @property {number} zoom  In percent; 0 shows the whole.
 * @property {Record<RingsRole, string>} names  Networks that are shown.
 */

/**
 * Looks closer where the middle ring is pinched: at its first point, halfway between two blue ones.
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
 * How many times closer than the whole.
 * @param {RingsData} data
 * @param {number} zoom
 */
function ringsZoom(data, zoom) {
  const view = ringsView(data, zoom);
  return zoom ? `${tidy(data.whole.right / ((view.right - view.left) / 2))}×` : "whole";
}

/**
 * Named numbers of a network.
 * @param {RingsData} data
 * @param {string} name
 * @returns {[string, string][]}
 */
function ringsNumbers({ names, gaps, blue, red, rounded }, name) {
  const k = names.indexOf(name);
  const shares = [blue[k], red[k]];
  const drawn = rounded[name];
  /** @type {[string, string][]} */
  const told = [
    ["gap", tidy(gaps[k])],
    ["blue ring right", percent(shares[0])],
    ["red ring right", percent(shares[1])],
  ];
  if (drawn && shares.some((share, c) => Math.abs(share - drawn[c]) > 5e-4)) {
    told.push(["as drawn, in half precision", drawn.map(percent).join(", ")]);
  }
  return told;
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
 * Share of networks that hold both rings, by gap: [gap, share].
 * @param {RingsData} data
 * @param {number} kind  1 for those that were led there.
 */
function ringsShares({ names, gaps, holds, led }, kind) {
  /** @type {Map<number, number[]>} */
  const groups = new Map();
  names.forEach((_, k) => led[k] === kind && groups.set(gaps[k], [...(groups.get(gaps[k]) ?? []), holds[k]]));
  return [...groups.entries()].map(([gap, held]) => [gap, mean(held)]);
}
