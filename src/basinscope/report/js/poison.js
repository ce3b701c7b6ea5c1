// The poison slider: from good minima to bad ones, and everything that changes on the way.

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function poison(root, { swissroll: { facts, results } }) {
  const { weights, nets, radii, train } = results;
  const { poisons, runs } = facts;
  const view = squareView(facts.extent);
  const samples = { train: samplesOf(train) };
  const distances = logSpaced(PUSHED.nearest, PUSHED.farthest, 45);
  const edges = logSpaced(1e-4, 1, 81);
  let run = 0;
  /** @type {number[]} */
  let curve = [];

  const index = () => level.value() * runs + run;
  const hue = () => poisonColour(level.value(), poisons.length);
  const field = fieldView("Decision boundary of the chosen network, with the training points");
  const told = readout("");
  const asked = explorer(
    { widths: facts.widths, weights: /** @type {Floats} */ (numbers(weights, "weights")), samples },
    { coarse: 64, fine: 200 },
    ({ spot, field: drawn, scores, began, fine }) => {
      field.show(drawn, { ...samples.train, wrong: scores.train.wrong });
      if (!fine) note("poison", { net: spot.net, name: words(weights, "net")[spot.net], field: drawn, scores }, began);
    },
  );
  const slice = chart(
    "Loss of the chosen network along a random direction",
    () => ({
      data: [
        {
          x: distances,
          y: curve.map((loss) => Math.max(loss, facts.floor)),
          mode: "lines",
          line: { color: hue(), width: 2.5 },
          hovertemplate: "%{y:.3g} nat at %{x:.3g}<extra></extra>",
        },
      ],
      layout: {
        xaxis: logAxis("distance along one direction [filter norms]", {
          range: [PUSHED.nearest, PUSHED.farthest].map(Math.log10),
        }),
        yaxis: logAxis("training loss [nat]", { range: [Math.log10(facts.floor) - 0.2, 2] }),
        shapes: [cutoffLine(facts.cutoff)],
        annotations: [cutoffWord(facts.cutoff)],
      },
    }),
    { height: 230 },
  );
  const counts = () => {
    const found = new Array(edges.length - 1).fill(0);
    const ratio = Math.log(edges[1] / edges[0]);
    for (const radius of row(radii.radius, index())) {
      const bin = Math.floor(Math.log(radius / edges[0]) / ratio);
      if (bin >= 0 && bin < found.length) found[bin] += 1;
    }
    return found;
  };
  const histogram = chart(
    "Histogram of the radii of the chosen network's basin",
    () => ({
      data: [
        {
          type: "bar",
          x: edges.slice(1).map((edge, k) => Math.sqrt(edge * edges[k])),
          y: counts(),
          width: edges.slice(1).map((edge, k) => edge - edges[k]),
          marker: { color: hue() },
          hovertemplate: "%{y} directions at radius %{x:.3g}<extra></extra>",
        },
      ],
      layout: {
        xaxis: logAxis("radius of the basin [filter norms]", { range: [-4, 0] }),
        yaxis: axis("directions", { rangemode: "tozero" }),
        bargap: 0,
      },
    }),
    { height: 230 },
  );
  const relation = chart(
    "Sharpness against generalisation gap of all networks, the chosen one marked",
    () => ({
      data: [
        {
          x: [...numbers(nets, "gap")],
          y: [...numbers(nets, "sharpness")],
          mode: "markers",
          marker: { size: 8, opacity: 0.75, color: colourOfNets(nets, poisons) },
          hoverinfo: "skip",
        },
        {
          x: [numbers(nets, "gap")[index()]],
          y: [numbers(nets, "sharpness")[index()]],
          mode: "markers",
          marker: { symbol: "circle-open", size: 18, color: colour("ink"), line: { width: 2.5 } },
          hoverinfo: "skip",
        },
      ],
      layout: {
        xaxis: axis("generalisation gap"),
        yaxis: logAxis("sharpness, mean dᵀHd [nat]"),
      },
    }),
    { height: 230 },
  );

  async function show() {
    const net = index();
    const beta = poisons[level.value()];
    const of = (/** @type {string} */ name) => numbers(nets, name)[net];
    level.tell(beta ? `β = ${tidy(beta)}` : "β = 0, natural training");
    paintHead();
    told.tell(
      [
        ["training points right", percent(of("train_accuracy"))],
        ["right of all fresh points", percent(of("dense_accuracy"))],
        ["sharpness", `${tidy(of("sharpness"))} nat`],
        ["median radius", `${tidy(of("radius"))} filter norms`],
        ["mean n·log₁₀ r", `${tidy(of("size"), 4)}`],
      ],
      `β = ${tidy(beta)}, run ${run}`,
    );
    asked.look({ net, way: { kind: "none" }, distance: 0 }, view);
    histogram.draw();
    relation.draw();
    const found = await asked.line({ net, way: { kind: "random", seed: 7 }, distance: 0 }, distances, "train");
    if (net !== index()) return;
    curve = found.losses;
    note("poison-charts", {
      net,
      curve,
      counts: counts(),
      accuracy: of("dense_accuracy"),
      sharpness: of("sharpness"),
      gap: of("gap"),
    });
    slice.draw();
  }
  const paintHead = () => told.element.querySelector("h4")?.style.setProperty("color", hue());
  onLook(paintHead);
  const level = slider({ label: "Poison", min: 0, max: poisons.length - 1, step: 1, value: 0 }, show);
  const which = slider({ label: "Run", min: 0, max: runs - 1, step: 1, value: 0 }, (to) => {
    run = to;
    which.tell(`run ${to}`);
    show();
  });
  which.tell("run 0");
  root.append(
    make("div", { class: "controls" }, level.element, player(level, { seconds: 6 }).element, which.element),
    make(
      "div",
      { class: "grid" },
      make("div", {}, told.element, field.element),
      make("div", {}, slice.element, histogram.element, relation.element),
    ),
  );
  show();
}

/**
 * Colour of each network by its poison factor.
 * @param {Result} nets
 * @param {number[]} poisons
 */
function colourOfNets(nets, poisons) {
  return Array.from(numbers(nets, "poison"), (value) => poisonColour(nearest(poisons, value), poisons.length));
}

/**
 * Place of the number that is nearest.
 * @param {ArrayLike<number>} values
 * @param {number} value
 */
function nearest(values, value) {
  const away = Array.from(values, (v) => Math.abs(v - value));
  return away.indexOf(Math.min(...away));
}
