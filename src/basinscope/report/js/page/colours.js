// Colours of the style sheet, as they are now.

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
 * Colour of each network by its poison factor.
 * @param {Result} nets
 * @param {number[]} poisons
 */
function colourOfNets(nets, poisons) {
  return Array.from(numbers(nets, "poison"), (value) => poisonColour(nearest(poisons, value), poisons.length));
}

/** @type {(() => void)[]} */
const looks = [];

/**
 * Call something whenever the page's colours change, between light and dark or for printing.
 * @param {() => void} changed
 */
function onLook(changed) {
  looks.push(changed);
}

for (const medium of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(medium).addEventListener("change", () => looks.forEach((changed) => changed()));
}
