// Data of the basins: losses along lines around two or more networks, and numbers of every network.

/**
 * @typedef {Object} BasinsData
 * @property {string} key
 * @property {string} title
 * @property {any} facts
 * @property {number[]} distances  Along the lines, in filter norms.
 * @property {number} rays
 * @property {(net: number, ray: number) => ArrayLike<number>} line  Losses along one line of one network.
 * @property {Record<Role, number>} compared  Indices of the two compared networks among those with lines.
 * @property {string[]} names  Names of all networks with numbers.
 * @property {(name: string) => number[]} all  Values of a variable for all of them.
 * @property {number[]} hues  Rank of each network's poison factor.
 * @property {boolean} everyLine  Whether every network has lines.
 */

/**
 * @param {Exhibits} exhibits
 * @returns {BasinsData[]}
 */
function readBasins(exhibits) {
  const [roll, images] = [exhibitOf(exhibits, "roll"), exhibitOf(exhibits, "images")];
  return [
    ...(roll ? [basinsOf(roll, "roll", "swiss roll")] : []),
    ...(images ? [basinsOf(images, "images", "images")] : []),
  ];
}

/**
 * @param {Exhibit} exhibit
 * @param {string} key
 * @param {string} title
 * @returns {BasinsData}
 */
function basinsOf({ facts, results: { lines, nets } }, key, title) {
  const [count, rays, points] = lines.loss.shape;
  const lined = words(lines, "net");
  const names = words(nets, "net");
  return {
    key,
    title,
    facts,
    distances: [...numbers(lines, "distance")],
    rays,
    line: (net, ray) => row(lines.loss, net).subarray(ray * points, (ray + 1) * points),
    compared: { good: lined.indexOf(facts.good), bad: lined.indexOf(facts.bad) },
    names,
    all: (name) => [...numbers(nets, name)],
    hues: Array.from(numbers(nets, "poison"), (value) => nearest(facts.poisons, value)),
    everyLine: count === names.length,
  };
}
