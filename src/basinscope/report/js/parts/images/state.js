// Where the image networks are pushed, and what they get wrong there.

/**
 * @typedef {Object} ImagesState
 * @property {number} ray
 * @property {number} at  Place along it.
 */

/**
 * @param {ImagesData} data
 * @param {ImagesState} state
 * @param {{role: Role, net: number}} side
 */
function imagesAt({ curve, answers, labels, seen }, { ray, at }, { role, net }) {
  const said = answers(net, ray, at);
  const wrong = [1, 0].map((kind) => said.filter((a, image) => seen[image] === kind && a !== labels[image]).length);
  return { role, answers: said, wrong, loss: curve(net, ray)[at] };
}
