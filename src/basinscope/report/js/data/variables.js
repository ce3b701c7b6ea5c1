// Access to the variables of a result: numbers, strings and rows.

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
 * The strings of a variable.
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
 * Split numbers into rows.
 * @param {ArrayLike<number>} values
 * @param {number} width
 * @returns {number[][]}
 */
function rowsOf(values, width) {
  const flat = Array.from(values);
  return Array.from({ length: flat.length / width }, (_, k) => flat.slice(k * width, (k + 1) * width));
}
