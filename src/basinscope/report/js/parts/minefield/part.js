// The minefield: select a network on the map to see its decision boundary and scores.

PARTS.minefield = (root, exhibits) => {
  const data = readMinefield(needed(exhibits, "minefield"));
  const picture = minefieldPicture(data);
  const map = minefieldChart(data, choose);
  const { along, minima } = minefieldSliders(data, choose);
  let chosen = data.onPath - 1;

  /** @param {number} net */
  function choose(net) {
    if (net === chosen) return;
    chosen = net;
    show();
  }
  function show() {
    map.mark(chosen);
    if (chosen < data.onPath) along.input.value = String(chosen);
    else minima.input.value = String(data.order.indexOf(chosen - data.onPath));
    const places = minefieldPlaces(data, chosen);
    along.update(places.path);
    minima.update(places.minima);
    picture.look(chosen);
  }
  const play = player(along, { seconds: 9 });
  for (const event of ["pointerdown", "pointermove"]) map.element.addEventListener(event, play.stop);
  const legend = legendOf([
    ["path-end", "ordinary training (stronger colour: later)"],
    ["bad", "bad minimum (stronger colour: more test points right)"],
    ["soft", "× search that found none"],
  ]);
  root.append(
    make("div", { class: "split" }, make("div", {}, map.element, legend), make("div", {}, ...picture.elements)),
    make("div", { class: "controls" }, along.element, play.element, minima.element),
  );
  show();
};

/**
 * Decision boundary and scores of the selected network.
 * @param {MinefieldData} data
 */
function minefieldPicture(data) {
  const field = fieldView("Decision boundary of the selected network, with the training points");
  const stats = readout("");
  const evaluator = explorer(data.nets, { coarse: 64, fine: 220 }, ({ spot, field: drawn, scores, began, fine }) => {
    const { train, test } = scores;
    field.show(drawn, { ...data.train, wrong: train.wrong });
    if (!fine) note("minefield", { net: spot.net, name: data.names[spot.net], field: drawn, scores }, began);
    stats.update(
      [
        ["training points right", percent(train.accuracy)],
        ["test points right", percent(test.accuracy)],
        ["training loss", `${tidy(train.loss)} nat`],
        ["test loss", `${tidy(test.loss)} nat`],
      ],
      minefieldTitle(data, spot.net),
    );
  });
  return {
    elements: [field.element, stats.element],
    look: (/** @type {number} */ net) => evaluator.look({ net, way: { kind: "none" }, distance: 0 }, data.view),
  };
}

/**
 * The map, on which networks are selected.
 * @param {MinefieldData} data
 * @param {(net: number) => void} choose
 */
function minefieldChart(data, choose) {
  const { xs, ys, onPath } = data;
  const { l, r, t, b } = MAP_MARGIN;
  let chosen = onPath - 1;
  let plane = { left: 0, right: 1, bottom: 0, top: 1 };
  const map = chart(
    "Map of the weights: the path of ordinary training, and bad minima around it",
    () => {
      plane = equalView(xs, ys, map.element.clientWidth - l - r, map.element.clientHeight - t - b);
      return minefieldMap(data, chosen, plane);
    },
    { height: 400 },
  );
  const element = overPlane(
    map.element,
    (x, y, how) => {
      // A drag along the path stays on the path.
      choose(nearestOnMap(data, plane, { x, y }, how === "drags" && chosen < onPath));
    },
    MAP_MARGIN,
  );
  return {
    element,
    /** @param {number} net */
    mark(net) {
      chosen = net;
      map.move(MAP_CHOSEN, { x: [[xs[net]]], y: [[ys[net]]] });
    },
  };
}

/**
 * @param {MinefieldData} data
 * @param {(net: number) => void} choose
 */
function minefieldSliders({ onPath, order }, choose) {
  const along = slider({ label: "Along the path", min: 0, max: onPath - 1, step: 1, value: onPath - 1 }, choose);
  const minima = slider({ label: "Bad minima", min: 0, max: Math.max(0, order.length - 1), step: 1, value: 0 }, (k) =>
    choose(onPath + order[k]),
  );
  minima.element.hidden = order.length === 0;
  return { along, minima };
}
