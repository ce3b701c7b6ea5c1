// The minefield: point at a network on the map, and see what it does.

/**
 * Ranges of a map that keep its shape: one unit is as long to the right as upwards.
 * @param {ArrayLike<number>} xs
 * @param {ArrayLike<number>} ys
 * @param {number} width
 * @param {number} height
 * @returns {View}
 */
function equalView(xs, ys, width, height) {
  const ends = (/** @type {ArrayLike<number>} */ values) => [
    Math.min(...Array.from(values)),
    Math.max(...Array.from(values)),
  ];
  const [[left, right], [bottom, top]] = [ends(xs), ends(ys)];
  const unit = 1.12 * Math.max((right - left) / width, (top - bottom) / height);
  const [x, y] = [(left + right) / 2, (bottom + top) / 2];
  return {
    left: x - (unit * width) / 2,
    right: x + (unit * width) / 2,
    bottom: y - (unit * height) / 2,
    top: y + (unit * height) / 2,
  };
}

/**
 * Turn a map that is taller than wide on its side; which way up it lies means nothing.
 * @param {number[]} xs
 * @param {number[]} ys
 */
function laidDown(xs, ys) {
  const reach = (/** @type {number[]} */ values) => Math.max(...values) - Math.min(...values);
  if (reach(ys) <= reach(xs)) return [xs, ys];
  const forwards = ys[0] < ys[ys.length - 1];
  return [ys.map((y) => (forwards ? y : -y)), xs];
}

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function minefield(root, { minefield: { facts, results } }) {
  const { path, bad, weights, train, test } = results;
  const epochs = numbers(path, "epoch");
  const starts = numbers(bad, "start_epoch");
  const found = numbers(bad, "found");
  const onPath = epochs.length;
  const [xs, ys] = laidDown(
    [...numbers(path, "x"), ...numbers(bad, "x")],
    [...numbers(path, "y"), ...numbers(bad, "y")],
  );
  const view = squareView(facts.extent);
  const samples = { train: samplesOf(train), test: samplesOf(test) };
  let chosen = onPath - 1;
  let plane = { left: 0, right: 1, bottom: 0, top: 1 };

  const field = fieldView("Decision boundary of the network that is pointed at, with the training points");
  const told = readout("");
  const map = chart(
    "Map of the weights: the path of the good run, and bad minima around it",
    () => {
      const [width, height] = [map.element.clientWidth, map.element.clientHeight];
      plane = equalView(xs, ys, width - MAP.l - MAP.r, height - MAP.t - MAP.b);
      return drawMap();
    },
    { height: 400 },
  );
  const MAP = { l: 8, r: 8, t: 8, b: 8 };
  const holder = overPlane(
    map.element,
    (x, y, how) => {
      // Who drags along the path stays on it.
      const last = how === "drags" && chosen < onPath ? onPath : xs.length;
      const at = [plane.left + x * (plane.right - plane.left), plane.top - y * (plane.top - plane.bottom)];
      const away = xs.slice(0, last).map((value, k) => (value - at[0]) ** 2 + (ys[k] - at[1]) ** 2);
      choose(away.indexOf(Math.min(...away)));
    },
    MAP,
  );

  function drawMap() {
    const dark = colour("path-end");
    const hits = Array.from(found).flatMap((hit, k) => (hit ? [k] : []));
    const misses = Array.from(found).flatMap((hit, k) => (hit ? [] : [k]));
    const at = (/** @type {ArrayLike<number>} */ values, /** @type {number[]} */ some) =>
      some.map((k) => values[onPath + k]);
    const data = [
      {
        x: xs.slice(0, onPath),
        y: ys.slice(0, onPath),
        mode: "lines+markers",
        line: { color: colour("path-line"), width: 1 },
        marker: {
          color: [...epochs],
          colorscale: [
            [0, colour("path-begin")],
            [1, dark],
          ],
          size: 7,
          line: { width: 0.5, color: colour("paper") },
        },
        hoverinfo: "skip",
      },
      {
        x: at(xs, hits),
        y: at(ys, hits),
        mode: "markers",
        marker: {
          color: hits.map((k) => numbers(bad, "test_accuracy")[k]),
          colorscale: [
            [0, colour("bad-begin")],
            [1, colour("bad-end")],
          ],
          size: 9,
          line: { width: 0.8, color: colour("paper") },
        },
        hoverinfo: "skip",
      },
      {
        x: at(xs, misses),
        y: at(ys, misses),
        mode: "markers",
        marker: { color: colour("soft"), size: 7, symbol: "x-thin", line: { width: 1.5, color: colour("soft") } },
        hoverinfo: "skip",
      },
      {
        x: [xs[onPath - 1]],
        y: [ys[onPath - 1]],
        mode: "markers",
        marker: { symbol: "star", size: 20, color: colour("star"), line: { width: 1, color: colour("ink") } },
        hoverinfo: "skip",
      },
      {
        x: [xs[chosen]],
        y: [ys[chosen]],
        mode: "markers",
        marker: { symbol: "circle-open", size: 20, color: colour("ink"), line: { width: 2.5 } },
        hoverinfo: "skip",
      },
    ];
    const hidden = { visible: false, fixedrange: true };
    const word = (/** @type {string} */ text, /** @type {number} */ k) => ({
      x: xs[k],
      y: ys[k],
      text,
      showarrow: true,
      arrowhead: 0,
      ax: 0,
      ay: -28,
      bgcolor: colour("paper"),
      opacity: 0.9,
      font: { size: 13 },
    });
    return {
      data,
      layout: {
        margin: MAP,
        xaxis: { ...hidden, range: [plane.left, plane.right] },
        yaxis: { ...hidden, range: [plane.bottom, plane.top] },
        annotations: [word("start", 0), word("finish", onPath - 1)],
      },
    };
  }

  const asked = explorer(
    { widths: facts.widths, weights: /** @type {Floats} */ (numbers(weights, "weights")), samples },
    { coarse: 64, fine: 220 },
    ({ spot, field: drawn, scores, began, fine }) => {
      field.show(drawn, { ...samples.train, wrong: scores.train.wrong });
      if (!fine)
        note("minefield", { net: spot.net, name: words(weights, "net")[spot.net], field: drawn, scores }, began);
      const k = spot.net - onPath;
      const title =
        k < 0
          ? `Good run, epoch ${tidy(epochs[spot.net], 4)}`
          : `${found[k] ? "Bad minimum" : "Failed search"}, sought from epoch ${tidy(starts[k], 4)}`;
      told.tell(
        [
          ["training points right", percent(scores.train.accuracy)],
          ["test points right", percent(scores.test.accuracy)],
          ["training loss", `${tidy(scores.train.loss)} nat`],
          ["test loss", `${tidy(scores.test.loss)} nat`],
        ],
        title,
      );
    },
  );

  /** @param {number} net */
  function choose(net) {
    if (net === chosen) return;
    chosen = net;
    show();
  }
  function show() {
    map.move(4, { x: [[xs[chosen]]], y: [[ys[chosen]]] });
    if (chosen < onPath) along.input.value = String(chosen);
    else minima.input.value = String(order.indexOf(chosen - onPath));
    tellSliders();
    asked.look({ net: chosen, way: { kind: "none" }, distance: 0 }, view);
  }
  function tellSliders() {
    along.tell(chosen < onPath ? `epoch ${tidy(epochs[chosen], 4)}` : "–");
    minima.tell(chosen < onPath ? "–" : `from epoch ${tidy(starts[chosen - onPath], 4)}`);
  }
  const order = Array.from(starts, (_, k) => k).sort((a, b) => starts[a] - starts[b]);
  const along = slider({ label: "Along the path", min: 0, max: onPath - 1, step: 1, value: onPath - 1 }, choose);
  const minima = slider({ label: "Bad minima", min: 0, max: Math.max(0, order.length - 1), step: 1, value: 0 }, (k) =>
    choose(onPath + order[k]),
  );
  minima.element.hidden = order.length === 0;
  const play = player(along, { seconds: 9 });
  for (const event of ["pointerdown", "pointermove"]) holder.addEventListener(event, play.stop);

  root.append(
    make(
      "div",
      { class: "split" },
      make(
        "div",
        {},
        holder,
        legendOf([
          ["path-end", "iterate of the good run, stronger with each epoch"],
          ["bad", "bad minimum, stronger where more test points are right"],
          ["soft", "× search that found none"],
        ]),
      ),
      make("div", {}, field.element, told.element),
    ),
    make("div", { class: "controls" }, along.element, play.element, minima.element),
  );
  show();
}

/**
 * Words for colours.
 * @param {[string, string][]} entries  Name of the colour, and what it stands for.
 */
function legendOf(entries) {
  return make(
    "p",
    { class: "legend" },
    ...entries.map(([name, text]) => {
      const dot = make("i");
      dot.style.background = name.startsWith("#") ? name : `var(--${name})`;
      return make("span", {}, dot, text);
    }),
  );
}
