// Push: weights of the good and the bad network are moved along a direction, side by side.

PARTS.push = (root, exhibits) => {
  const data = readPush(needed(exhibits, "roll"));
  const state = pushStart();
  const curves = chart(
    "Training loss of the good and the bad network against the distance to which their weights are pushed",
    () => pushCurves(data, state),
    { height: 240 },
  );
  const sides = data.sides.map((side, k) =>
    pushSide(data, side, ({ spot, scores }) => {
      state.losses[k] = scores.train.loss;
      curves.move(2 + k, { x: [[dotAt(spot.distance)]], y: [[Math.max(state.losses[k], data.floor)]] });
    }),
  );

  function show() {
    state.distance = pushedDistance(distance.value());
    distance.update(`${tidy(state.distance)} filter norms`);
    sides.forEach(({ evaluator }, k) =>
      evaluator.look({ net: 0, way: pushWay(state, data.sides[k]), distance: state.distance }, data.view),
    );
  }
  async function turn() {
    show();
    const { kind, seed } = state;
    const lines = await Promise.all(
      sides.map(({ evaluator }, k) =>
        evaluator.line({ net: 0, way: pushWay(state, data.sides[k]), distance: 0 }, data.distances, "train"),
      ),
    );
    state.curves = lines.map(({ losses }) => losses);
    const [good, bad] = state.curves;
    note("push-curves", { seed, kind, distances: data.distances, good, bad });
    curves.draw();
  }
  const distance = slider({ label: "Distance", min: 0, max: PUSHED.steps, step: 1, value: 0 }, show);
  const { direction, again } = pushDirections(data, state, turn);
  root.append(
    make("div", { class: "pair narrow" }, ...sides.map(({ elements }) => make("div", {}, ...elements))),
    make(
      "div",
      { class: "controls" },
      distance.element,
      player(distance, { seconds: 8 }).element,
      direction.element,
      again,
    ),
    curves.element,
    rolesLegend(),
    make(
      "p",
      { class: "note" },
      `Dotted: the cutoff that bounds a basin. Losses below ${tidy(data.floor)} nat are drawn at that value. ` +
        "The minimum itself, at distance 0, is off the left end of the log axis.",
    ),
  );
  turn();
};

/**
 * Boundary and scores of one of the two networks, and its evaluator.
 * @param {PushData} data
 * @param {PushData["sides"][0]} side
 * @param {(view: Looked) => void} moved  Called at every new distance.
 */
function pushSide(data, { role, nets }, moved) {
  const field = fieldView(`Decision boundary of the ${role} network while its weights are pushed`);
  const stats = readout(`${role} minimum`, role);
  const evaluator = explorer(nets, { coarse: 64, fine: 200 }, (view) => {
    const { field: drawn, scores, began, spot, fine } = view;
    const { train, test } = scores;
    field.show(drawn, { ...data.train, wrong: train.wrong });
    if (fine) return;
    note(`push-${role}`, { distance: spot.distance, way: spot.way.kind, field: drawn, scores }, began);
    stats.update([
      ["training loss", `${tidy(train.loss)} nat`],
      ["training points wrong", `${train.wrong.reduce((a, b) => a + b, 0)} of ${train.wrong.length}`],
      [`${data.test} right`, percent(test.accuracy)],
    ]);
    moved(view);
  });
  return { evaluator, elements: [stats.element, field.element] };
}

/**
 * Controls for the direction of both networks.
 * @param {PushData} data
 * @param {PushState} state
 * @param {() => void} turn
 */
function pushDirections(data, state, turn) {
  const direction = choice(
    "Direction",
    [
      ["random", "random"],
      ["sharpest", "sharpest"],
    ],
    "random",
    (to) => {
      state.kind = /** @type {"random"} */ (to);
      turn();
    },
  );
  direction.enable("sharpest", data.knowsSharpest);
  const again = button("New random direction", () => {
    state.seed += 1;
    if (state.kind === "random") turn();
    else direction.set("random");
  });
  return { direction, again };
}
