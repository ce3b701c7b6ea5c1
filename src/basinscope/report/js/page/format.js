// Formats numbers and names as text.

/**
 * Format a number with few digits, no needless exponent and a true minus sign.
 * @param {number} value
 * @param {number} [digits]
 */
function tidy(value, digits = 3) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size >= 1e6 || (size < 1e-3 && size > 0)) {
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
    const raised = [...String(Number(exponent))].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)])).join("");
    return `${Number(mantissa)}·10${raised}`.replace("-", "−");
  }
  const text = size >= 1000 ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

/** @param {number} share */
function percent(share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1)} %` : "–";
}

/**
 * Escape text for a chart, where plotly would interpret HTML.
 * @param {string} text
 */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** @param {string} units */
function bracketed(units) {
  return units && units !== "1" ? ` [${plain(units)}]` : "";
}
