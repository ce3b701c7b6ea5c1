// What stands on the page, as data: for tests, and for anyone's console.

/** What each part shows. */
const shown = /** @type {Record<string, any>} */ ({});

/** Milliseconds from a question to the drawing of its first answer, by part. */
const waits = /** @type {Record<string, number[]>} */ ({});

/**
 * Note what was drawn.
 * @param {string} part
 * @param {any} what
 * @param {number} [began]  When it was asked for.
 */
function note(part, what, began) {
  shown[part] = what;
  if (began !== undefined) (waits[part] ??= []).push(performance.now() - began);
}
