// Planes of loss through the good and the bad minimum.

/**
 * @typedef {Object} Plane
 * @property {string} key
 * @property {string} title
 * @property {number[]} x
 * @property {number[]} y
 * @property {number[][][]} losses  Losses around the good and the bad minimum, rows along y.
 * @property {number} floor  Lower losses are drawn at this value.
 */

/**
 * @param {Exhibits} exhibits
 * @returns {Plane[]}
 */
function readPlanes(exhibits) {
  const [roll, images] = [exhibitOf(exhibits, "roll"), exhibitOf(exhibits, "images")];
  return [
    ...(roll ? [planeOf(roll, "slice", "wide", "swiss roll")] : []),
    ...(roll ? [planeOf(roll, "middle", "close", "swiss roll, close-up")] : []),
    ...(images ? [planeOf(images, "slice", "images", "images")] : []),
  ];
}

/**
 * @param {Exhibit} exhibit
 * @param {string} name  Name of the result.
 * @param {string} key
 * @param {string} title
 * @returns {Plane}
 */
function planeOf({ facts, results }, name, key, title) {
  const result = results[name];
  const names = words(result, "net");
  const size = result.loss.shape[2];
  const losses = ROLES.map((role) => transposed(rowsOf(row(result.loss, names.indexOf(facts[role])), size)));
  return { key, title, x: [...numbers(result, "first")], y: [...numbers(result, "second")], losses, floor: facts.floor };
}
