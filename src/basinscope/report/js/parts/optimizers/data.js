// Results of all optimizers, sorted by test accuracy, lowest first.

/**
 * @typedef {Object} OptimizersData
 * @property {string[]} titles
 * @property {number[]} train  Accuracies.
 * @property {number[]} test
 * @property {number[]} rates
 * @property {number[]} steps
 * @property {number[]} losses
 * @property {number} fitTarget  Training accuracy that counts as fitted.
 */

/**
 * @param {Exhibit} exhibit
 * @returns {OptimizersData}
 */
function readOptimizers({ facts, results: { optimizers: table } }) {
  const test = numbers(table, "test_accuracy");
  const order = [...test.keys()].sort((a, b) => test[a] - test[b]);
  const of = (/** @type {string} */ name) => order.map((k) => numbers(table, name)[k]);
  return {
    titles: order.map((k) => plain(words(table, "title")[k].replace(/\s+/g, " "))),
    train: of("train_accuracy"),
    test: of("test_accuracy"),
    rates: of("learning_rate"),
    steps: of("steps"),
    losses: of("clean_loss"),
    fitTarget: facts.fit_target,
  };
}
