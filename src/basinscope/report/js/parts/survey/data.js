// Measurements around the user's networks, side by side.

/**
 * @typedef {Object} Measured  One network with the result of one probe.
 * @property {string} label
 * @property {number} k  Index of the network.
 * @property {Result} of
 *
 * @typedef {Object} SurveyData
 * @property {string} section  Id of the section; a page has one per network and comparison.
 * @property {string[]} labels
 * @property {string} unit  Unit of the loss, in brackets.
 * @property {(k: number) => string} hue
 * @property {(k: number) => string} dash
 * @property {Record<keyof typeof PROBES, Measured[]>} probes
 */

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

/**
 * @param {HTMLElement} root  Element of the part.
 * @param {Exhibit} exhibit
 * @returns {SurveyData}
 */
function readSurvey(root, { facts, results }) {
  /** @type {string[]} */
  const labels = facts.labels;
  const having = (/** @type {string[]} */ names) =>
    labels.flatMap((label, k) => {
      const name = names.find((one) => results[`${k}/${one}`]);
      return name === undefined ? [] : [{ label, k, of: results[`${k}/${name}`] }];
    });
  return {
    section: root.closest("section")?.id ?? "",
    labels,
    unit: bracketed(facts.loss_unit),
    hue: (k) => facts.colours[k % facts.colours.length],
    dash: (k) => DASHES[k % DASHES.length],
    probes: {
      lines: having(PROBES.lines),
      radii: having(PROBES.radii),
      curvature: having(PROBES.curvature),
      planes: having(PROBES.planes),
    },
  };
}
