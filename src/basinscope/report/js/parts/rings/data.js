// Data of the rings: some networks with weights, and pictures of all.

/**
 * @typedef {"start" | "circle"} RingsRole
 *
 * @typedef {Object} RingsData
 * @property {Nets} nets  Networks whose weights the page has.
 * @property {string[]} live  Their names.
 * @property {string[]} names  Names of all networks.
 * @property {ArrayLike<number>} gaps  Gap of every network.
 * @property {ArrayLike<number>} holds  1 for circles.
 * @property {ArrayLike<number>} led  1 for networks led to a circle by closing the gap.
 * @property {ArrayLike<number>} blue  Share of the blue ring classified correctly.
 * @property {ArrayLike<number>} red  Share of the red ring classified correctly.
 * @property {({gap: number} & Record<RingsRole, string>)[]} pairs  Networks shown side by side, by gap.
 * @property {Record<string, number[]>} rounded  The same shares with weights in half precision.
 * @property {View} whole
 * @property {number} inner  Radius of the inner ring.
 * @property {number} resolution  Points along each side of a picture.
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
