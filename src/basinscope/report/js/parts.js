// The parts of the page by name. The program of each enters it here: `PARTS.key = …`.

/**
 * Fills an element with a part of the page, from the exhibits that the element names.
 * @typedef {(root: HTMLElement, exhibits: Exhibits) => void} Part
 */

/** @type {Record<string, Part>} */
const PARTS = {};
