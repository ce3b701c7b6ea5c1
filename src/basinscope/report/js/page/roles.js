// The two compared minima: headings, lines and markers in their colours.

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
 * Line style of a minimum; bad ones are dashed, so that they differ by more than colour.
 * @param {Role} role
 * @param {number} width
 */
function roleLine(role, width) {
  return { color: colour(role), width, dash: role === "bad" ? "dash" : "solid" };
}

/**
 * Marker of a minimum's current position on its curve.
 * @param {Role} role
 */
function roleMarker(role) {
  return { size: 14, color: colour(role), line: { width: 2, color: colour("paper") } };
}
