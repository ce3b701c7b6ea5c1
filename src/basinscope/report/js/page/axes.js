// Chart axes, and the line that marks a cutoff.

const AXIS_FONT = 12;

/**
 * Build an axis in the page's style.
 * @param {string} title
 * @param {Record<string, any>} [more]
 */
function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 8, font: { size: AXIS_FONT + 0.5 } },
    gridcolor: colour("line"),
    linecolor: colour("soft"),
    zeroline: false,
    ticks: "outside",
    ticklen: 4,
    tickcolor: colour("soft"),
    fixedrange: true,
    ...more,
  };
}

/** Build a log axis whose ticks are powers of ten.
 * @param {string} title
 * @param {Record<string, any>} [more]
 */
function logAxis(title, more = {}) {
  // Plotly sets powers larger than plain numbers.
  const tickfont = { size: AXIS_FONT - 2 };
  return axis(title, { type: "log", dtick: 1, exponentformat: "power", tickfont, ...more });
}

const MARGIN = { l: 62, r: 14, t: 14, b: 48 };

/**
 * Position of a dot on a log axis; null at distance 0.
 * @param {number} distance
 */
function dotAt(distance) {
  return distance > 0 ? distance : null;
}

/**
 * The horizontal line at a cutoff.
 * @param {number} cutoff
 */
function cutoffLine(cutoff) {
  return {
    type: "line",
    xref: "paper",
    x0: 0,
    x1: 1,
    y0: cutoff,
    y1: cutoff,
    line: { color: colour("ink"), width: 1.2, dash: "dot" },
  };
}

/**
 * The label of that line.
 * @param {number} cutoff
 */
function cutoffWord(cutoff) {
  return {
    xref: "paper",
    x: 0.005,
    xanchor: "left",
    y: Math.log10(cutoff),
    yanchor: "bottom",
    bgcolor: colour("raised"),
    borderpad: 0,
    opacity: 0.9,
    text: `cutoff ${tidy(cutoff)} nat`,
    showarrow: false,
    font: { size: 12, color: colour("ink") },
  };
}
