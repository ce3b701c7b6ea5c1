// Data of the poison part: networks by poison factor and run, with the measurements around each.

/**
 * @typedef {Object} PoisonData  Networks are indexed by poison factor, then run.
 * @property {Nets} nets
 * @property {string[]} names
 * @property {View} view
 * @property {Samples} train
 * @property {number[]} poisons
 * @property {number} runs
 * @property {(name: string, net: number) => number} of  Value of a variable for one network.
 * @property {(name: string) => number[]} all  Values of a variable for all networks.
 * @property {number[]} hues  Rank of each network's poison factor.
 * @property {Variable} radii  Networks × directions.
 * @property {number} floor
 * @property {number} cutoff
 */

/**
 * @param {Exhibit} exhibit
 * @returns {PoisonData}
 */
function readPoison({ facts, results: { weights, nets, radii, train } }) {
  const samples = { train: samplesOf(train) };
  return {
    nets: { widths: facts.widths, weights: /** @type {Floats} */ (numbers(weights, "weights")), samples },
    names: words(weights, "net"),
    view: squareView(facts.extent),
    train: samples.train,
    poisons: facts.poisons,
    runs: facts.runs,
    of: (name, net) => numbers(nets, name)[net],
    all: (name) => [...numbers(nets, name)],
    hues: Array.from(numbers(nets, "poison"), (value) => nearest(facts.poisons, value)),
    radii: radii.radius,
    floor: facts.floor,
    cutoff: facts.cutoff,
  };
}
