// Registry of the page's parts: each program adds itself, `PARTS.key = …`.

/**
 * Fills an element with a part of the page, given the exhibits that the element names.
 * @typedef {(root: HTMLElement, exhibits: Exhibits) => void} Part
 */

/** @type {Record<string, Part>} */
const PARTS = {};
