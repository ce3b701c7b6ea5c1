// Records the data on display, for tests and the console.

/** Data shown by each part. */
const shown = /** @type {Record<string, any>} */ ({});

/** Milliseconds from each request to the first picture, by part. */
const waits = /** @type {Record<string, number[]>} */ ({});

/**
 * Record what was drawn.
 * @param {string} part
 * @param {any} what
 * @param {number} [began]  Time of the request.
 */
function note(part, what, began) {
  shown[part] = what;
  if (began !== undefined) (waits[part] ??= []).push(performance.now() - began);
}
