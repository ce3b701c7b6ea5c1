// The numbers behind the page: labelled arrays, packed in the page as text.

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
 * @typedef {Record<string, Variable>} Result  Variables by name; one that is named as its dimension labels that axis.
 *
 * @typedef {Object} Exhibit
 * @property {any} facts
 * @property {Record<string, Result>} results
 */

/** How each type of number lies in the payload; halves are widened when they are read. */
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
    for (const [key, told] of Object.entries(/** @type {Record<string, any>} */ (variables))) {
      results[name][key] = { ...told, values: told.values ?? read(buffer, begin + told.offset, told) };
    }
  }
  return { facts: header.facts, results };
}

/**
 * @param {ArrayBuffer} buffer
 * @param {number} offset
 * @param {{dtype: keyof typeof TYPES, shape: number[]}} told
 * @returns {Values}
 */
function read(buffer, offset, { dtype, shape }) {
  const count = shape.reduce((a, b) => a * b, 1);
  const values = new TYPES[dtype](buffer, offset, count);
  return values instanceof Uint16Array ? Float32Array.from(values, half) : values;
}

/**
 * Widen a number of IEEE half precision.
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

/**
 * The numbers of a variable.
 * @param {Result} result
 * @param {string} name
 * @returns {Exclude<Values, string[]>}
 */
function numbers(result, name) {
  return /** @type {Exclude<Values, string[]>} */ (result[name].values);
}

/**
 * The words of a variable.
 * @param {Result} result
 * @param {string} name
 * @returns {string[]}
 */
function words(result, name) {
  return /** @type {string[]} */ (result[name].values);
}

/**
 * One entry of the first axis of a variable.
 * @param {Variable} variable
 * @param {number} index
 * @returns {Exclude<Values, string[]>}
 */
function row(variable, index) {
  const size = variable.shape.slice(1).reduce((a, b) => a * b, 1);
  const values = /** @type {Float64Array} */ (variable.values);
  return values.subarray(index * size, (index + 1) * size);
}

/**
 * Cut numbers into rows.
 * @param {ArrayLike<number>} values
 * @param {number} width
 * @returns {number[][]}
 */
function rowsOf(values, width) {
  const flat = Array.from(values);
  return Array.from({ length: flat.length / width }, (_, k) => flat.slice(k * width, (k + 1) * width));
}

/**
 * Write a result as CSV: for each set of dimensions a table whose first columns say where, the others what.
 * @param {Result} result
 * @returns {string}
 */
function csv(result) {
  /** @type {Map<string, string[]>} */
  const tables = new Map();
  const named = Object.entries(result).filter(([name, { dims }]) => !(dims.length === 1 && dims[0] === name));
  for (const [name, { dims }] of named) {
    // What has fewer dimensions than another, all of them the other's, stands beside it: labels beside points.
    const wider = named
      .map(([, other]) => other.dims)
      .filter((other) => dims.length && dims.every((dim) => other.includes(dim)));
    const most = wider.reduce((a, b) => (b.length > a.length ? b : a), dims);
    const key = most.join(",");
    tables.set(key, [...(tables.get(key) ?? []), name]);
  }
  const parts = [...tables.entries()].map(([key, names]) => {
    const whole = /** @type {string} */ (names.find((name) => result[name].dims.join(",") === key));
    const { dims, shape } = result[whole];
    const head = [...dims, ...names].map((name) => cell(title(name, result[name])));
    const lines = [head.join(",")];
    const count = shape.reduce((a, b) => a * b, 1);
    for (let k = 0; k < count; k++) {
      let rest = k;
      const where = dims.map((_, axis) => {
        const size = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
        const index = Math.floor(rest / size);
        rest %= size;
        return index;
      });
      const labels = dims.map((dim, axis) => cell(result[dim]?.values[where[axis]] ?? where[axis]));
      lines.push([...labels, ...names.map((name) => cell(at(result[name], dims, where)))].join(","));
    }
    return lines.join("\r\n") + "\r\n";
  });
  return parts.join("\r\n");
}

/**
 * One entry of a variable, at a place along other dimensions than its own, too.
 * @param {Variable} variable
 * @param {string[]} dims
 * @param {number[]} where
 */
function at(variable, dims, where) {
  const place = variable.dims.reduce((sum, dim, axis) => sum * variable.shape[axis] + where[dims.indexOf(dim)], 0);
  return variable.values[place];
}

/**
 * @param {string} name
 * @param {Variable | undefined} variable
 */
function title(name, variable) {
  return variable?.units && variable.units !== "1" ? `${name} [${variable.units}]` : name;
}

/**
 * @param {string | number} value
 */
function cell(value) {
  const text = typeof value === "number" ? String(Number(value.toPrecision(9))) : value;
  // A cell that a spreadsheet would take for a formula is text.
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
