// Writes results as CSV.

/**
 * Write a result as CSV: one table per set of dimensions, coordinates first, then variables.
 * @param {Result} result
 * @returns {string}
 */
function csv(result) {
  /** @type {Map<string, string[]>} */
  const tables = new Map();
  const named = Object.entries(result).filter(([name, { dims }]) => !(dims.length === 1 && dims[0] === name));
  for (const [name, { dims }] of named) {
    // A variable whose dimensions are a subset of another's joins its table: labels beside points.
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
 * Look up an entry of a variable by indices along a superset of its dimensions.
 * @param {Variable} variable
 * @param {string[]} dims
 * @param {number[]} where
 */
function at(variable, dims, where) {
  const index = variable.dims.reduce((sum, dim, axis) => sum * variable.shape[axis] + where[dims.indexOf(dim)], 0);
  return variable.values[index];
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
  // Mark cells that a spreadsheet would take for formulas as text.
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
