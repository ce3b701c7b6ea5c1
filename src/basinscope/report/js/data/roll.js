// Networks of the swiss roll, shared by several parts.

/**
 * @typedef {Object} Roll
 * @property {any} facts
 * @property {string[]} names  Of the networks.
 * @property {Variable} weights  Networks × parameters.
 * @property {View} view
 * @property {{train: Samples, test: Samples}} samples
 */

/**
 * @param {Exhibit} exhibit
 * @returns {Roll}
 */
function readRoll({ facts, results: { weights, train, test } }) {
  return {
    facts,
    names: words(weights, "net"),
    weights: weights.weights,
    view: squareView(facts.extent),
    samples: { train: samplesOf(train), test: samplesOf(test) },
  };
}

/**
 * Select the good or the bad minimum.
 * @param {Roll} roll
 * @param {Role} role
 * @returns {Nets}
 */
function minimumOf({ facts, names, weights, samples }, role) {
  return { widths: facts.widths, weights: /** @type {Floats} */ (row(weights, names.indexOf(facts[role]))), samples };
}
