// Poison: from good minima to bad ones, and what changes with the poison factor.

PARTS.poison = (root, exhibits) => {
  const data = readPoison(needed(exhibits, "roll"));
  /** @type {PoisonState} */
  const state = { level: 0, run: 0, curve: [] };
  const field = fieldView("Decision boundary of the selected network, with the training points");
  const stats = readout("");
  const charts = poisonCharts(data, state);
  const evaluator = explorer(data.nets, { coarse: 64, fine: 200 }, ({ spot, field: drawn, scores, began, fine }) => {
    field.show(drawn, { ...data.train, wrong: scores.train.wrong });
    if (!fine) note("poison", { net: spot.net, name: data.names[spot.net], field: drawn, scores }, began);
  });

  const paintHead = () => stats.element.querySelector("h4")?.style.setProperty("color", poisonHue(data, state));
  async function show() {
    const net = poisonNet(data, state);
    const beta = data.poisons[state.level];
    level.update(beta ? `β = ${tidy(beta)}` : "β = 0, ordinary training");
    paintHead();
    stats.update(poisonNumbers(data, state), `β = ${tidy(beta)}, run ${state.run}`);
    evaluator.look({ net, way: { kind: "none" }, distance: 0 }, data.view);
    charts.radii.draw();
    charts.relation.draw();
    const spot = /** @type {Spot} */ ({ net, way: { kind: "random", seed: 7 }, distance: 0 });
    const line = await evaluator.line(spot, POISON_DISTANCES, "train");
    if (net !== poisonNet(data, state)) return;
    state.curve = line.losses;
    note("poison-charts", {
      net,
      curve: state.curve,
      counts: poisonCounts(data, state),
      accuracy: data.of("dense_accuracy", net),
      meanCurvature: data.of("mean_curvature", net),
      gap: data.of("gap", net),
    });
    charts.slice.draw();
  }
  onLook(paintHead);
  const level = slider({ label: "Poison", min: 0, max: data.poisons.length - 1, step: 1, value: 0 }, (to) => {
    state.level = to;
    show();
  });
  const which = slider({ label: "Run", min: 0, max: data.runs - 1, step: 1, value: 0 }, (to) => {
    state.run = to;
    which.update(`run ${to}`);
    show();
  });
  which.update("run 0");
  const drawn = [charts.slice, charts.radii, charts.relation].map(({ element }) => element);
  root.append(
    make("div", { class: "controls" }, level.element, player(level, { seconds: 6 }).element, which.element),
    make("div", { class: "grid" }, make("div", {}, stats.element, field.element), make("div", {}, ...drawn)),
  );
  show();
};

/**
 * @param {PoisonData} data
 * @param {PoisonState} state
 */
function poisonCharts(data, state) {
  const size = { height: 230 };
  return {
    slice: chart("Loss of the selected network along a random direction", () => poisonSlice(data, state), size),
    radii: chart("Histogram of the radii of the selected network's basin", () => poisonRadii(data, state), size),
    relation: chart(
      "Mean curvature against generalisation gap of all networks, the selected one marked",
      () => poisonRelation(data, state),
      size,
    ),
  };
}
