// What the minefield shows: a path of networks, the minima searched for around it, and a map of them all.

/**
 * @typedef {Object} MinefieldData  Networks are numbered: those of the path first, then those of the searches.
 * @property {Nets} nets
 * @property {string[]} names
 * @property {Samples} train
 * @property {View} view  Of the decision boundary.
 * @property {number} onPath  Networks of the path.
 * @property {number[]} xs  Place of every network on the map.
 * @property {number[]} ys
 * @property {number[]} epochs  Of the path.
 * @property {number[]} starts  Epoch from which each search set out.
 * @property {boolean[]} hits  Whether a search found a bad minimum.
 * @property {number[]} testAccuracy  Of each search's end.
 * @property {number[]} order  Searches by the epoch from which they set out.
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
