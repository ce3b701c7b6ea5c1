// State of the images part, and the errors at the current point.

/**
 * @typedef {Object} ImagesState
 * @property {number} ray
 * @property {number} at  Index of the distance along it.
 */

/**
 * @param {ImagesData} data
 * @param {ImagesState} state
 * @param {{role: Role, net: number}} side
 */
function imagesAt({ curve, answers, labels, seen }, { ray, at }, { role, net }) {
  const labelled = answers(net, ray, at);
  const wrong = [1, 0].map((kind) => labelled.filter((a, image) => seen[image] === kind && a !== labels[image]).length);
  return { role, answers: labelled, wrong, loss: curve(net, ray)[at] };
}
