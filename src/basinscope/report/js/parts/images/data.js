// Data of pushed image networks: losses along lines, and the logits of a few images at every point.

/**
 * @typedef {Object} ImagesData
 * @property {{role: Role, net: number}[]} sides
 * @property {number[]} distances
 * @property {number} rays
 * @property {number} count  Images.
 * @property {number[]} labels
 * @property {number[]} seen  1 for images of the training set.
 * @property {(net: number, ray: number) => number[]} curve  Losses along a line.
 * @property {(net: number, ray: number, at: number) => number[]} answers  Class predicted for each image.
 * @property {Result} examples
 * @property {number} floor
 * @property {number} cutoff
 */

/**
 * @param {Exhibit} exhibit
 * @returns {ImagesData}
 */
function readImages({ facts, results: { slices, examples } }) {
  const [, rays, points] = slices.loss.shape;
  const [, , , count, classes] = examples.logits.shape;
  return {
    sides: ROLES.map((role) => ({ role, net: words(slices, "net").indexOf(facts[role]) })),
    distances: [...numbers(slices, "distance")],
    rays,
    count,
    labels: [...numbers(examples, "labels")],
    seen: [...numbers(examples, "seen")],
    curve: (net, ray) => Array.from(row(slices.loss, net).subarray(ray * points, (ray + 1) * points)),
    answers(net, ray, at) {
      const all = /** @type {Float32Array} */ (row(examples.logits, net));
      return Array.from({ length: count }, (_, image) => {
        const begin = ((ray * points + at) * count + image) * classes;
        const odds = all.subarray(begin, begin + classes);
        return odds.indexOf(Math.max(...odds));
      });
    },
    examples,
    floor: facts.floor,
    cutoff: facts.cutoff,
  };
}
