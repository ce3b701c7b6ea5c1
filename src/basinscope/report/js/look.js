// Colours and numbers as the page shows them.

/**
 * A colour of the style sheet, as it is now.
 * @param {string} name
 * @returns {string}
 */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * @param {string} hex  #rrggbb
 * @returns {[number, number, number]}
 */
function channels(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/**
 * @param {string} from
 * @param {string} to
 * @param {number} share
 * @returns {string}
 */
function blend(from, to, share) {
  const [a, b] = [channels(from), channels(to)];
  return (
    "#" +
    a
      .map((v, k) =>
        Math.round(v + share * (b[k] - v))
          .toString(16)
          .padStart(2, "0"),
      )
      .join("")
  );
}

/**
 * Colour of a poison factor: from good to bad, by its place among all.
 * @param {number} place
 * @param {number} count
 */
function poisonColour(place, count) {
  return blend(colour("good"), colour("bad"), count > 1 ? place / (count - 1) : 0);
}

/**
 * A number as a reader wants it: few digits, no needless exponent, a true minus.
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
 * Text for a chart, where angle brackets would be read as HTML.
 * @param {string} text
 */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * The middle of some numbers; NaN where there are none.
 * @param {ArrayLike<number>} values
 */
function median(values) {
  const known = Array.from(values)
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const half = known.length >> 1;
  return known.length % 2 ? known[half] : 0.5 * (known[half - 1] + known[half]);
}

/** @param {ArrayLike<number>} values */
function mean(values) {
  const all = Array.from(values);
  return all.reduce((a, b) => a + b, 0) / all.length;
}

/**
 * Numbers evenly spaced on a log scale.
 * @param {number} low
 * @param {number} high
 * @param {number} count
 */
function logSpaced(low, high, count) {
  return Array.from({ length: count }, (_, k) => low * (high / low) ** (k / (count - 1)));
}
