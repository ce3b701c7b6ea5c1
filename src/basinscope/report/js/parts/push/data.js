// Data of the push part: the good and the bad minimum, each with its sharpest direction.

/**
 * @typedef {Object} PushData
 * @property {View} view
 * @property {Samples} train
 * @property {string} test  Name of the test points.
 * @property {number} cutoff  Loss that bounds a basin.
 * @property {number} floor  Lower losses are drawn at this value.
 * @property {number[]} distances  Distances of the curves.
 * @property {{role: Role, nets: Nets, sharpest: Floats}[]} sides
 * @property {boolean} knowsSharpest
 */

/**
 * @param {Exhibit} exhibit
 * @returns {PushData}
 */
function readPush(exhibit) {
  const { facts, results } = exhibit;
  const roll = readRoll(exhibit);
  const sides = ROLES.map((role) => {
    const index = words(results.sharpest, "net").indexOf(facts[role]);
    const sharpest = /** @type {Floats} */ (row(results.sharpest.direction, index));
    return { role, nets: minimumOf(roll, role), sharpest };
  });
  return {
    view: roll.view,
    train: roll.samples.train,
    test: facts.test,
    cutoff: facts.cutoff,
    floor: facts.floor,
    distances: logSpaced(PUSHED.nearest, PUSHED.farthest, 90),
    sides,
    knowsSharpest: sides.every(({ sharpest }) => Number.isFinite(sharpest[0])),
  };
}
