// The two minima that are compared: headings, lines and markers in their colours.

/** @typedef {"good" | "bad"} Role */

/** @type {Role[]} */
const ROLES = ["good", "bad"];

/** @param {Role} role */
function roleHeading(role) {
  const head = make("h4", {}, `${role} minimum`);
  head.style.color = `var(--${role})`;
  return head;
}

function rolesLegend() {
  return legendOf([
    ["good", "good minimum"],
    ["bad", "bad minimum, dashed"],
  ]);
}

/**
 * The line of one minimum; bad ones are dashed, so that colour is not all that tells them apart.
 * @param {Role} role
 * @param {number} width
 */
function roleLine(role, width) {
  return { color: colour(role), width, dash: role === "bad" ? "dash" : "solid" };
}

/**
 * The dot at which one minimum stands on its curve.
 * @param {Role} role
 */
function roleMarker(role) {
  return { size: 14, color: colour(role), line: { width: 2, color: colour("paper") } };
}
