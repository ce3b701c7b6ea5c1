// One's own networks: what was measured around them, side by side.

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function survey(root, exhibits) {
  const { facts, results } = Object.values(exhibits)[0];
  /** @type {string[]} */
  const labels = facts.labels;
  /** @param {string} probe */
  const having = (probe) =>
    labels.flatMap((label, k) => (results[`${k}/${probe}`] ? [{ label, k, of: results[`${k}/${probe}`] }] : []));
  const hue = (/** @type {number} */ k) => facts.colours[k % facts.colours.length];
  const dash = (/** @type {number} */ k) => DASHES[k % DASHES.length];
  /** @type {HTMLElement[]} */
  const parts = [];
  const titled = (/** @type {string} */ title, /** @type {HTMLElement[]} */ ...elements) =>
    parts.push(make("div", {}, make("h4", {}, title), ...elements));
  const unit = facts.loss_unit ? ` [${plain(facts.loss_unit)}]` : "";

  const lines = having("slice1d");
  if (lines.length) {
    const drawn = chart("Loss along random lines through each network", () => {
      const data = lines.flatMap(({ label, k, of }) =>
        rowsOf(/** @type {Floats} */ (of.loss.values), of.loss.shape[1]).map((losses, ray) => ({
          x: [...numbers(of, "distance")],
          y: losses.map((l) => (Number.isFinite(l) ? l : null)),
          mode: "lines",
          line: { color: hue(k), dash: dash(k), width: 1.8 },
          opacity: 0.85,
          hovertemplate: `${plain(label)}, direction ${ray}: %{y:.4g} at %{x:.3g}<extra></extra>`,
        })),
      );
      note(
        `survey-lines`,
        data.map((d) => d.y),
      );
      const lowest = Math.min(...data.flatMap((d) => d.y.filter((v) => v !== null)));
      return {
        data,
        layout: {
          xaxis: axis(`distance${bracketed(lines[0].of.distance.units)}`),
          yaxis: (lowest > 0 ? logAxis : axis)(`loss${unit}`),
        },
      };
    });
    titled("Loss along random lines", drawn.element);
  }
  const radii = having("radius");
  if (radii.length) {
    const drawn = chart("Radii of each network's basin along random directions", () => {
      const data = radii.map(({ label, k, of }) => {
        const known = Array.from(numbers(of, "radius"))
          .filter(Number.isFinite)
          .sort((a, b) => a - b);
        return {
          x: known,
          y: known.map((_, n) => (n + 1) / of.radius.shape[0]),
          mode: "lines",
          line: { shape: "hv", color: hue(k), dash: dash(k), width: 2.2 },
          hovertemplate: `${plain(label)}: %{y:.0%} of the directions within %{x:.3g}<extra></extra>`,
        };
      });
      note(
        "survey-radii",
        data.map((d) => d.x),
      );
      return {
        data,
        layout: {
          xaxis: axis(`radius${bracketed(radii[0].of.radius.units)}`, { rangemode: "tozero" }),
          yaxis: axis("share of directions within", { range: [0, 1.02], tickformat: ".0%" }),
        },
      };
    });
    titled("Radius of the basin", drawn.element);
  }
  const spectra = having("curvature");
  if (spectra.length) {
    const drawn = chart("Largest eigenvalues of each network's Hessian", () => {
      const data = spectra.map(({ label, k, of }) => ({
        x: [...numbers(of, "rank")].map((r) => r + 0.12 * (k - (labels.length - 1) / 2)),
        y: [...numbers(of, "eigenvalue")],
        error_y: { type: "data", array: [...numbers(of, "residual")], color: hue(k) },
        mode: "markers",
        marker: { size: 10, color: hue(k), symbol: k },
        hovertemplate: `${plain(label)}: %{y:.4g}<extra></extra>`,
      }));
      note(
        "survey-curvature",
        data.map((d) => d.y),
      );
      return {
        data,
        layout: {
          xaxis: axis("rank", { dtick: 1 }),
          yaxis: axis(`eigenvalue${bracketed(spectra[0].of.eigenvalue.units)}`),
        },
      };
    });
    titled("Curvature", drawn.element);
  }
  const densities = spectra.filter(
    ({ of }) => of.density && of.density.shape[0] > 0 && Number.isFinite(numbers(of, "density")[0]),
  );
  if (densities.length) {
    const drawn = chart("Density of the eigenvalues of each network's Hessian", () => {
      const data = densities.map(({ label, k, of }) => ({
        x: [...numbers(of, "value")],
        y: [...numbers(of, "density")].map((d) => Math.max(d, 1e-6)),
        mode: "lines",
        line: { color: hue(k), dash: dash(k), width: 2 },
        hovertemplate: `${plain(label)}: %{y:.3g} at %{x:.3g}<extra></extra>`,
      }));
      note(
        "survey-density",
        data.map((d) => d.y),
      );
      return {
        data,
        layout: { xaxis: axis(`eigenvalue${bracketed(spectra[0].of.eigenvalue.units)}`), yaxis: logAxis("density") },
      };
    });
    titled("Density of all eigenvalues", drawn.element);
  }
  const planes = having("slice2d");
  if (planes.length) {
    const all = planes.flatMap(({ of }) => Array.from(numbers(of, "loss")).filter(Number.isFinite));
    const [low, high] = [
      all.reduce((a, b) => Math.min(a, b), Infinity),
      all.reduce((a, b) => Math.max(a, b), -Infinity),
    ];
    const isLog = low > 0;
    const height = (/** @type {number} */ l) => (Number.isFinite(l) ? (isLog ? Math.log10(l) : l) : null);
    const title = isLog ? "log₁₀ loss" : `loss${unit}`;
    const rows = planes.map(({ of }) => transposed(rowsOf(/** @type {Floats} */ (of.loss.values), of.loss.shape[1])));
    const drawnOf = (/** @type {number} */ index) => ({
      x: [...numbers(planes[index].of, "first")],
      y: [...numbers(planes[index].of, "second")],
      z: rows[index].map((line) => line.map(height)),
      losses: rows[index],
      low: /** @type {number} */ (height(low)),
      high: /** @type {number} */ (height(high)),
      height: title,
    });
    const maps = planes.map(({ label, k, of }, index) =>
      chart(
        `Loss on a plane through ${label}`,
        () => {
          const { x, y, z, losses, low: zmin, high: zmax } = drawnOf(index);
          note(`survey-plane-${k}`, z);
          return {
            data: [
              {
                type: "contour",
                x,
                y,
                z,
                zmin,
                zmax,
                colorscale: "Viridis",
                customdata: losses,
                hovertemplate: "loss %{customdata:.4g}<extra></extra>",
                contours: { coloring: "heatmap" },
                line: { width: 0.7, color: "#ffffff" },
                colorbar: { title: { text: title }, thickness: 12 },
              },
            ],
            layout: {
              xaxis: axis(`direction 1${bracketed(of.first.units)}`),
              yaxis: axis(`direction 2${bracketed(of.second.units)}`),
              margin: { ...MARGIN, r: 70 },
            },
          };
        },
        { height: 320 },
      ),
    );
    const surfaces3d = turningTogether(
      planes.map(({ label }) => `Loss on a plane through ${label}, as a surface`),
      (index) => {
        note(`survey-surface-${planes[index].k}`, drawnOf(index).z);
        return drawnOf(index);
      },
    );
    const beside = (/** @type {HTMLElement[]} */ elements) =>
      make(
        "div",
        { class: elements.length > 1 ? "pair" : "" },
        ...planes.map(({ label }, index) => make("div", {}, make("h4", {}, label), elements[index])),
      );
    const flat = beside(maps.map(({ element }) => element));
    const solid = make("div", { hidden: true }, surfaces3d.turn, beside(surfaces3d.elements));
    const shown3d = choice(
      "Loss on a plane of two random directions, one scale",
      [
        ["map", "map"],
        ["surface", "surface"],
      ],
      "map",
      (to) => {
        flat.hidden = to !== "map";
        solid.hidden = to === "map";
        for (const { draw } of maps) draw();
        surfaces3d.draw();
      },
    );
    parts.push(make("div", { class: "wide" }, make("div", { class: "controls" }, shown3d.element), flat, solid));
  }
  root.append(legendOf(labels.map((label, k) => [hue(k), label])), make("div", { class: "tiles" }, ...parts));
}

/** @param {string} units */
function bracketed(units) {
  return units && units !== "1" ? ` [${plain(units)}]` : "";
}
