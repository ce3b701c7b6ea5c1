// Push the weights: the good and the bad net go out along a direction, side by side.

/** Distances in filter norms between which the slider moves, evenly on a log scale. */
const PUSHED = { nearest: 1e-4, farthest: 0.6, steps: 240 };

/**
 * Distance at a place of a slider; the first place is the minimum itself.
 * @param {number} place
 */
function pushedDistance(place) {
  const { nearest, farthest, steps } = PUSHED;
  return place === 0 ? 0 : nearest * (farthest / nearest) ** ((place - 1) / (steps - 1));
}

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function push(root, { swissroll: { facts, results } }) {
  const { weights, train, test, sharpest } = results;
  const names = words(weights, "net");
  const view = squareView(facts.extent);
  const samples = { train: samplesOf(train), test: samplesOf(test) };
  const distances = logSpaced(PUSHED.nearest, PUSHED.farthest, 90);
  let seed = 1;
  let kind = "random";

  const sides = ["good", "bad"].map((role) => {
    const net = names.indexOf(facts[role]);
    const field = fieldView(`Decision boundary of the ${role} net while its weights are pushed`);
    const told = readout(`${role} minimum`, role);
    const values = row(sharpest.direction, words(sharpest, "net").indexOf(facts[role]));
    const own = { widths: facts.widths, weights: /** @type {Floats} */ (row(weights.weights, net)), samples };
    /** @type {{role: string, field: typeof field, told: typeof told, curve: number[], loss: number, values: Floats, known: boolean}} */
    const side = {
      role,
      field,
      told,
      curve: [],
      loss: NaN,
      values: /** @type {Floats} */ (values),
      known: Number.isFinite(values[0]),
    };
    const asked = explorer(own, { coarse: 64, fine: 200 }, ({ field: drawn, scores, began, spot, fine }) => {
      field.show(drawn, { ...samples.train, wrong: scores.train.wrong });
      if (fine) return;
      side.loss = scores.train.loss;
      note(`push-${role}`, { distance: spot.distance, way: spot.way.kind, field: drawn, scores }, began);
      told.tell([
        ["training loss", `${tidy(scores.train.loss)} nat`],
        ["training points wrong", `${scores.train.wrong.reduce((a, b) => a + b, 0)} of ${scores.train.wrong.length}`],
        [`right of ${facts.test}`, percent(scores.test.accuracy)],
      ]);
      curves.move(role === "good" ? 2 : 3, { x: [[dotAt(spot.distance)]], y: [[Math.max(side.loss, facts.floor)]] });
    });
    return Object.assign(side, { asked });
  });

  /** @param {(typeof sides)[0]} side
   *  @returns {Way} */
  const wayOf = (side) => (kind === "random" ? { kind: "random", seed } : { kind: "given", values: side.values });

  const curves = chart(
    "Training loss of the good and the bad net against the distance that their weights are pushed",
    () => ({
      data: [
        ...sides.map(({ role, curve }) => ({
          x: distances,
          y: curve.map((loss) => Math.max(loss, facts.floor)),
          mode: "lines",
          name: `${role} minimum`,
          line: { color: colour(role), width: 2.5, dash: role === "bad" ? "dash" : "solid" },
          hovertemplate: `${role}: %{y:.3g} nat at %{x:.3g}<extra></extra>`,
        })),
        ...sides.map(({ role, loss }) => ({
          x: [dotAt(pushedDistance(distance.value()))],
          y: [Math.max(loss, facts.floor)],
          mode: "markers",
          marker: { size: 14, color: colour(role), line: { width: 2, color: colour("paper") } },
          hoverinfo: "skip",
        })),
      ],
      layout: {
        xaxis: logAxis("distance [filter norms]", { range: [PUSHED.nearest, PUSHED.farthest].map(Math.log10) }),
        yaxis: logAxis("training loss [nat]", {
          range: [Math.log10(facts.floor) - 0.2, Math.log10(Math.max(10, ...sides.flatMap((s) => s.curve))) + 0.2],
        }),
        shapes: [cutoffLine(facts.cutoff)],
        annotations: [cutoffWord(facts.cutoff)],
      },
    }),
    { height: 240 },
  );

  const distance = slider({ label: "Distance", min: 0, max: PUSHED.steps, step: 1, value: 0 }, show);
  function show() {
    const far = pushedDistance(distance.value());
    distance.tell(`${tidy(far)} filter norms`);
    sides.forEach((side) => side.asked.look({ net: 0, way: wayOf(side), distance: far }, view));
  }
  async function turn() {
    show();
    const found = await Promise.all(
      sides.map((side) => side.asked.line({ net: 0, way: wayOf(side), distance: 0 }, distances, "train")),
    );
    sides.forEach((side, k) => (side.curve = found[k].losses));
    note("push-curves", { seed, kind, distances, good: sides[0].curve, bad: sides[1].curve });
    curves.draw();
  }
  const again = button("New random direction", () => {
    seed += 1;
    if (direction.value() === "random") turn();
    else direction.set("random");
  });
  const direction = choice(
    "Direction",
    [
      ["random", "random"],
      ["sharpest", "sharpest"],
    ],
    "random",
    (to) => {
      kind = to;
      turn();
    },
  );
  direction.enable(
    "sharpest",
    sides.every((side) => side.known),
  );
  root.append(
    make("div", { class: "pair" }, ...sides.map((side) => make("div", {}, side.told.element, side.field.element))),
    make(
      "div",
      { class: "controls" },
      distance.element,
      player(distance, { seconds: 8 }).element,
      direction.element,
      again,
    ),
    curves.element,
    legendOf([
      ["good", "good minimum"],
      ["bad", "bad minimum, dashed"],
    ]),
    make(
      "p",
      { class: "note" },
      `Losses below ${tidy(facts.floor)} nat are drawn there. The minimum itself, at distance 0, lies left of the chart.`,
    ),
  );
  turn();
}

/**
 * Where a dot stands on the log axis; nowhere at the minimum itself.
 * @param {number} distance
 */
function dotAt(distance) {
  return distance > 0 ? distance : null;
}

/**
 * The line that bounds a basin, on a log axis.
 * @param {number} cutoff
 */
function cutoffLine(cutoff) {
  return {
    type: "line",
    xref: "paper",
    x0: 0,
    x1: 1,
    y0: cutoff,
    y1: cutoff,
    line: { color: colour("ink"), width: 1.2, dash: "dot" },
  };
}

/**
 * @param {number} cutoff
 */
function cutoffWord(cutoff) {
  return {
    xref: "paper",
    x: 0.005,
    xanchor: "left",
    y: Math.log10(cutoff),
    yanchor: "bottom",
    bgcolor: colour("raised"),
    borderpad: 0,
    opacity: 0.9,
    text: `cutoff ${tidy(cutoff)} nat`,
    showarrow: false,
    font: { size: 12, color: colour("ink") },
  };
}
