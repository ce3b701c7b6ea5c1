// The loss on a plane through each network, as a map or a surface, on one scale.

/**
 * Lowest and highest loss of all planes.
 * @param {SurveyData} data
 * @returns {[number, number]}
 */
function planeLimits({ probes: { planes } }) {
  const all = planes.flatMap(({ of }) => Array.from(numbers(of, "loss")).filter(Number.isFinite));
  return [all.reduce((a, b) => Math.min(a, b), Infinity), all.reduce((a, b) => Math.max(a, b), -Infinity)];
}

/**
 * Arrays to draw of a plane; created at each call, as plotly ignores changes within a known array.
 * @param {Result} of
 * @param {string} unit
 * @param {[number, number]} limits
 * @returns {Drawn}
 */
function planeDrawn(of, unit, [low, high]) {
  const isLog = low > 0;
  const height = (/** @type {number} */ l) => (Number.isFinite(l) ? (isLog ? Math.log10(l) : l) : null);
  const losses = transposed(rowsOf(/** @type {Floats} */ (of.loss.values), of.loss.shape[1]));
  return {
    x: [...numbers(of, "first")],
    y: [...numbers(of, "second")],
    z: losses.map((line) => line.map(height)),
    losses,
    low: /** @type {number} */ (height(low)),
    high: /** @type {number} */ (height(high)),
    height: isLog ? "log₁₀ loss" : `loss${unit}`,
  };
}

/**
 * @param {Drawn} drawn
 * @param {Result} of
 */
function planeMap({ x, y, z, losses, low, high, height }, of) {
  return {
    data: [
      {
        type: "contour",
        x,
        y,
        z,
        zmin: low,
        zmax: high,
        colorscale: "Viridis",
        customdata: losses,
        hovertemplate: "loss %{customdata:.4g}<extra></extra>",
        contours: { coloring: "heatmap" },
        line: { width: 0.7, color: "#ffffff" },
        colorbar: { title: { text: height }, thickness: 12 },
      },
    ],
    layout: {
      xaxis: axis(`direction 1${bracketed(of.first.units)}`),
      yaxis: axis(`direction 2${bracketed(of.second.units)}`),
      margin: { ...MARGIN, r: 70 },
    },
  };
}

/**
 * Maps and surfaces, with a choice between them.
 * @param {SurveyData} data
 */
function surveyPlanesElement(data) {
  const { planes } = data.probes;
  const limits = planeLimits(data);
  const drawnOf = (/** @type {string} */ shownAs, /** @type {number} */ index) => {
    const drawn = planeDrawn(planes[index].of, data.unit, limits);
    note(`${data.section}/${shownAs}-${planes[index].k}`, drawn.z);
    return drawn;
  };
  const maps = planes.map(({ label, of }, index) =>
    chart(`Loss on a plane through ${label}`, () => planeMap(drawnOf("plane", index), of), { height: 320 }),
  );
  const solids = turningTogether(
    planes.map(({ label }) => `Loss on a plane through ${label}, as a surface`),
    (index) => drawnOf("surface", index),
  );
  const beside = (/** @type {HTMLElement[]} */ elements) =>
    make(
      "div",
      { class: elements.length > 1 ? "pair stacked" : "" },
      ...planes.map(({ label }, index) => make("div", {}, make("h4", {}, label), elements[index])),
    );
  const flat = beside(maps.map(({ element }) => element));
  const solid = make("div", { hidden: true }, solids.turn, beside(solids.elements));
  const view = choice(
    "Loss on a plane through each network, on one scale",
    [
      ["map", "map"],
      ["surface", "surface"],
    ],
    "map",
    (to) => {
      flat.hidden = to !== "map";
      solid.hidden = to === "map";
      for (const { draw } of maps) draw();
      solids.draw();
    },
  );
  return make("div", { class: "wide" }, make("div", { class: "controls" }, view.element), flat, solid);
}
