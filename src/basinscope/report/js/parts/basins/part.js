// Basins: the loss along many lines, a cutoff to drag, and what follows from it.

PARTS.basins = (root, exhibits) => {
  const all = readBasins(exhibits);
  /** @type {BasinsState} */
  const state = { data: all[0], cutoff: all[0].facts.cutoff, measure: "size", variant: "" };
  const charts = basinCharts(state);
  const told = readout("At this cutoff");
  const holder = cutoffHandle(
    charts.lines,
    () => ({ cutoff: state.cutoff, ...lineLimits(state.data) }),
    (cutoff) => level.set(placeOfCutoff(state.data, cutoff)),
  );
  function show() {
    const [good, bad] = comparedAt(state);
    const { data, cutoff } = state;
    note("basins", { data: data.key, cutoff, good: good.radius, bad: bad.radius, orders: good.size - bad.size });
    told.tell(basinsNumbers(state));
    level.tell(`${tidy(cutoff)} nat`);
    charts.lines.draw();
    charts.dots.draw();
  }
  const level = slider(
    { label: "Cutoff", min: 0, max: CUTOFF_STEPS, step: 1, value: placeOfCutoff(state.data, state.cutoff) },
    (place) => {
      state.cutoff = cutoffAt(state.data, place);
      show();
    },
  );
  const data = choice(
    "Networks of",
    all.map(({ key, title }) => [key, title]),
    state.data.key,
    (to) => {
      state.data = all.filter(({ key }) => key === to)[0];
      state.cutoff = state.data.facts.cutoff;
      level.input.value = String(placeOfCutoff(state.data, state.cutoff));
      show();
    },
  );
  root.append(
    make("div", { class: "controls" }, data.element, level.element),
    make(
      "div",
      { class: "split even" },
      make("div", {}, holder, told.element),
      make("div", {}, charts.dots.element, make("div", { class: "controls" }, ...basinChoices(state, show))),
    ),
    rolesLegend(),
    make(
      "p",
      { class: "note" },
      "Colour of a dot: poison factor, from good to bad. The cutoff moves what the page can follow along lines: both " +
        "networks on the left, and on the swiss roll every dot of size and radius as trained. All else is the run's, from all its directions, at the cutoff at which it began.",
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
      "Every network: its generalisation gap, and the size or sharpness of its basin",
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
 * Which numbers the dots show.
 * @param {BasinsState} state
 * @param {() => void} show
 */
function basinChoices(state, show) {
  const what = menu(
    "Against the gap",
    Object.entries(MEASURES).map(([name, [title]]) => [name, title]),
    (to) => {
      state.measure = to;
      show();
    },
  );
  const how = choice(
    "Dots",
    [
      ["", "as trained"],
      ["_scaled", "last layers scaled to one loss"],
    ],
    "",
    (to) => {
      state.variant = /** @type {Variant} */ (to);
      show();
    },
  );
  return [what.element, how.element];
}
