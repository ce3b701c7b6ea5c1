// Current colours of the style sheet.

/**
 * Current value of a colour of the style sheet.
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
 * Colour of a poison factor, from good to bad by its rank.
 * @param {number} rank
 * @param {number} count
 */
function poisonColour(rank, count) {
  return blend(colour("good"), colour("bad"), count > 1 ? rank / (count - 1) : 0);
}

/**
 * Colour of each network, by its poison factor.
 * @param {Result} nets
 * @param {number[]} poisons
 */
function colourOfNets(nets, poisons) {
  return Array.from(numbers(nets, "poison"), (value) => poisonColour(nearest(poisons, value), poisons.length));
}

/** @type {(() => void)[]} */
const looks = [];

/**
 * Register a callback for changes of colour scheme: light, dark or print.
 * @param {() => void} changed
 */
function onLook(changed) {
  looks.push(changed);
}

for (const medium of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(medium).addEventListener("change", () => looks.forEach((changed) => changed()));
}
