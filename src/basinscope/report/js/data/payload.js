// Unpacks the labelled arrays that are stored in the page as text.

/**
 * @typedef {Float64Array | Float32Array | Int32Array | Int8Array | Uint8Array | string[]} Values
 *
 * @typedef {Object} Variable
 * @property {string[]} dims
 * @property {number[]} shape
 * @property {string} units
 * @property {string} meaning
 * @property {Values} values  The last axis runs fastest.
 *
 * @typedef {Record<string, Variable>} Result  Variables by name; one named like a dimension holds that axis's labels.
 *
 * @typedef {Object} Exhibit
 * @property {any} facts
 * @property {Record<string, Result>} results
 */

/** Array type of each dtype; half precision is read as uint16 and converted. */
const TYPES = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  int32: Int32Array,
  int8: Int8Array,
  uint8: Uint8Array,
};

/**
 * @param {string} text  Base64 of raw deflate.
 * @returns {Promise<ArrayBuffer>}
 */
function inflate(text) {
  const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
}

/**
 * @param {string} text
 * @returns {Promise<Exhibit>}
 */
async function unpack(text) {
  const buffer = await inflate(text);
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const begin = Math.ceil((4 + length) / 8) * 8;
  /** @type {Record<string, Result>} */
  const results = {};
  for (const [name, variables] of Object.entries(header.results)) {
    results[name] = {};
    for (const [key, about] of Object.entries(/** @type {Record<string, any>} */ (variables))) {
      results[name][key] = { ...about, values: about.values ?? read(buffer, begin + about.offset, about) };
    }
  }
  return { facts: header.facts, results };
}

/**
 * @param {ArrayBuffer} buffer
 * @param {number} offset
 * @param {{dtype: keyof typeof TYPES, shape: number[]}} about
 * @returns {Values}
 */
function read(buffer, offset, { dtype, shape }) {
  const count = shape.reduce((a, b) => a * b, 1);
  const values = new TYPES[dtype](buffer, offset, count);
  return values instanceof Uint16Array ? Float32Array.from(values, half) : values;
}

/**
 * Convert a number from IEEE half precision.
 * @param {number} bits
 */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
