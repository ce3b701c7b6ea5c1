// Basins: the loss along many lines, a cutoff to drag, and the resulting radii and sizes.

PARTS.basins = (root, exhibits) => {
  const all = readBasins(exhibits);
  /** @type {BasinsState} */
  const state = { data: all[0], cutoff: all[0].facts.cutoff, measure: "size", variant: "" };
  const charts = basinCharts(state);
  const stats = readout("At this cutoff");
  const holder = cutoffHandle(
    charts.lines,
    () => ({ cutoff: state.cutoff, ...lineLimits(state.data) }),
    (cutoff) => level.set(stepOfCutoff(state.data, cutoff)),
  );
  function show() {
    const [good, bad] = comparedAt(state);
    const { data, cutoff } = state;
    note("basins", { data: data.key, cutoff, good: good.radius, bad: bad.radius, orders: good.size - bad.size });
    stats.update(basinsNumbers(state));
    level.update(`${tidy(cutoff)} nat`);
    charts.lines.draw();
    charts.dots.draw();
  }
  const level = slider(
    { label: "Cutoff", min: 0, max: CUTOFF_STEPS, step: 1, value: stepOfCutoff(state.data, state.cutoff) },
    (step) => {
      state.cutoff = cutoffAt(state.data, step);
      show();
    },
  );
  const data = choice(
    "Data",
    all.map(({ key, title }) => [key, title]),
    state.data.key,
    (to) => {
      state.data = all.filter(({ key }) => key === to)[0];
      state.cutoff = state.data.facts.cutoff;
      level.input.value = String(stepOfCutoff(state.data, state.cutoff));
      show();
    },
  );
  root.append(
    make("div", { class: "controls" }, data.element, level.element),
    make(
      "div",
      { class: "split even" },
      make("div", {}, holder, stats.element),
      make("div", {}, charts.dots.element, make("div", { class: "controls" }, ...basinChoices(state, show))),
    ),
    rolesLegend(),
    make(
      "p",
      { class: "note" },
      "Dot colour: poison factor, from good to bad. H is the Hessian of the training loss, D the diagonal matrix of " +
        "filter norms; n·log₁₀ r is the size of a basin of radius r. The slider updates only what can be recomputed from " +
        "stored lines: both networks on the left and, on the swiss roll, every dot's size and radius as trained. All " +
        "else is shown at the run's own cutoff, from all its directions.",
    ),
  );
  show();
};

/** @param {BasinsState} state */
function basinCharts(state) {
  const size = { height: 330 };
  return {
    lines: chart(
      "Loss along random lines from the good and the bad minimum, with the cutoff",
      () => basinLines(state),
      size,
    ),
    dots: chart(
      "All networks: generalisation gap, and size or curvature of the basin",
      () => {
        const values = heightsAt(state);
        const { data, measure, variant, cutoff } = state;
        note("basins-nets", { data: data.key, measure, variant, cutoff, values });
        return basinDots(state, values);
      },
      size,
    ),
  };
}

/**
 * Controls for the numbers that the dots show.
 * @param {BasinsState} state
 * @param {() => void} show
 */
function basinChoices(state, show) {
  const what = menu(
    "Vertical axis",
    Object.entries(MEASURES).map(([name, [title]]) => [name, title]),
    (to) => {
      state.measure = to;
      show();
    },
  );
  const how = choice(
    "Networks",
    [
      ["", "as trained"],
      ["_scaled", "rescaled to equal loss"],
    ],
    "",
    (to) => {
      state.variant = /** @type {Variant} */ (to);
      show();
    },
  );
  return [what.element, how.element];
}
