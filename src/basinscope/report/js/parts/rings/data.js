// Networks on the rings: those whose weights the page has, and pictures of all others.

/**
 * @typedef {"start" | "circle"} RingsRole
 *
 * @typedef {Object} RingsData
 * @property {Nets} nets  Those that can be evaluated.
 * @property {string[]} live  Their names.
 * @property {string[]} names  Of all networks.
 * @property {ArrayLike<number>} gaps  Of all networks, and so on.
 * @property {ArrayLike<number>} holds
 * @property {ArrayLike<number>} led
 * @property {ArrayLike<number>} blue
 * @property {ArrayLike<number>} red
 * @property {({gap: number} & Record<RingsRole, string>)[]} pairs  Networks that stand side by side, by gap.
 * @property {Record<string, number[]>} rounded  Shares right in half precision.
 * @property {View} whole
 * @property {number} inner  Radius of the inner ring.
 * @property {number} resolution  Of the pictures.
 * @property {(name: string) => Field} pictureOf
 * @property {(gap: number) => Dots} dotsAt
 */

/**
 * @param {Exhibit} exhibit
 * @returns {RingsData}
 */
function readRings({ facts, results: { weights, nets, pictures, points } }) {
  const names = words(nets, "net");
  const whole = squareView(facts.extent);
  const resolution = pictures.odds.shape[1];
  return {
    nets: { widths: facts.widths, weights: /** @type {Floats} */ (numbers(weights, "weights")), samples: {} },
    live: words(weights, "net"),
    names,
    gaps: numbers(nets, "gap"),
    holds: numbers(nets, "holds"),
    led: numbers(nets, "led"),
    blue: numbers(nets, "blue_share"),
    red: numbers(nets, "red_share"),
    pairs: facts.pairs,
    rounded: facts.rounded,
    whole,
    inner: facts.inner,
    resolution,
    pictureOf(name) {
      const odds = Float32Array.from(row(pictures.odds, names.indexOf(name)), (v) => v / facts.steps_per_nat);
      return { resolution, view: whole, odds };
    },
    dotsAt: (gap) => ({
      inputs: row(points.inputs, nearest(numbers(points, "gap"), gap)),
      labels: numbers(points, "labels"),
    }),
  };
}
