// Data of the minefield: networks along the path of training, the ends of the searches around it, and a map of all.

/**
 * @typedef {Object} MinefieldData  Networks are indexed: the path first, then the searches.
 * @property {Nets} nets
 * @property {string[]} names
 * @property {Samples} train
 * @property {View} view  Of the decision boundary.
 * @property {number} onPath  Number of networks on the path.
 * @property {number[]} xs  Position of every network on the map.
 * @property {number[]} ys
 * @property {number[]} epochs  Epoch of each network on the path.
 * @property {number[]} starts  Epoch at which each search started.
 * @property {boolean[]} hits  Whether each search found a bad minimum.
 * @property {number[]} testAccuracy  Test accuracy at the end of each search.
 * @property {number[]} order  Searches, sorted by start epoch.
 */

/**
 * @param {Exhibit} exhibit
 * @returns {MinefieldData}
 */
function readMinefield({ facts, results: { path, bad, weights, train, test } }) {
  const samples = { train: samplesOf(train), test: samplesOf(test) };
  const starts = [...numbers(bad, "start_epoch")];
  const [xs, ys] = laidDown(
    [...numbers(path, "x"), ...numbers(bad, "x")],
    [...numbers(path, "y"), ...numbers(bad, "y")],
  );
  return {
    nets: { widths: facts.widths, weights: /** @type {Floats} */ (numbers(weights, "weights")), samples },
    names: words(weights, "net"),
    train: samples.train,
    view: squareView(facts.extent),
    onPath: numbers(path, "epoch").length,
    xs,
    ys,
    epochs: [...numbers(path, "epoch")],
    starts,
    hits: Array.from(numbers(bad, "found"), Boolean),
    testAccuracy: [...numbers(bad, "test_accuracy")],
    order: starts.map((_, k) => k).sort((a, b) => starts[a] - starts[b]),
  };
}
