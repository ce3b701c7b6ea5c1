// Basins: the loss along many lines, a cutoff to drag, and what follows from it.

/**
 * First distance at which the loss along a line exceeds the cutoff, between two points on a straight line of logs.
 * @param {ArrayLike<number>} distances
 * @param {ArrayLike<number>} losses
 * @param {number} cutoff
 * @returns {number} NaN where the line begins above the cutoff, infinity where it never exceeds it.
 */
function crossing(distances, losses, cutoff) {
  for (let k = 0; k < losses.length; k++) {
    if (losses[k] <= cutoff) continue;
    if (k === 0) return NaN;
    // Lines are left at a ceiling; there the crossing is known to lie before the next point.
    if (!Number.isFinite(losses[k])) return (distances[k - 1] + distances[k]) / 2;
    const [a, b] = [Math.log(losses[k - 1]), Math.log(losses[k])];
    const share = b > a ? (Math.log(cutoff) - a) / (b - a) : 0.5;
    return distances[k - 1] + share * (distances[k] - distances[k - 1]);
  }
  return Infinity;
}

/**
 * Radii, and the mean of n·log₁₀ r, from lines at a cutoff.
 * @param {Result} lines
 * @param {number} net
 * @param {number} cutoff
 * @param {number} numMoved
 */
function basinAt(lines, net, cutoff, numMoved) {
  const [, rays, points] = lines.loss.shape;
  const losses = row(lines.loss, net);
  const distances = numbers(lines, "distance");
  const radii = Array.from({ length: rays }, (_, k) =>
    crossing(distances, losses.subarray(k * points, (k + 1) * points), cutoff),
  );
  const known = radii.filter(Number.isFinite);
  const size = known.length ? numMoved * mean(known.map(Math.log10)) : NaN;
  return {
    radius: known.length ? median(known) : NaN,
    size,
    unbounded: radii.filter((r) => r === Infinity).length,
  };
}

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function basins(root, exhibits) {
  const titles = /** @type {Record<string, string>} */ ({ swissroll: "swiss roll", image_minima: "images" });
  const keys = Object.keys(titles).filter((key) => exhibits[key]);
  let key = keys[0];
  /** @type {"" | "_scaled"} */
  let variant = "";
  let measure = "size";
  let cutoff = exhibits[key].facts.cutoff;

  const bounds = () => {
    const { facts } = exhibits[key];
    return [Math.max(facts.floor * 10, facts.cutoff / 20), Math.min(facts.ceiling ?? 10, facts.cutoff * 10) * 0.98];
  };
  /** Both compared networks at the cutoff. */
  function compared() {
    const { facts, results } = exhibits[key];
    const names = words(results.lines, "net");
    return ["good", "bad"].map((role) => ({
      role,
      net: names.indexOf(facts[role]),
      ...basinAt(results.lines, names.indexOf(facts[role]), cutoff, facts.num_moved),
    }));
  }
  let top = 1;
  let bottom = 1e-5;
  const lineChart = chart(
    "Loss along random lines from the good and the bad minimum, with the cutoff",
    () => {
      const { facts, results } = exhibits[key];
      const distances = numbers(results.lines, "distance");
      const isLog = distances[0] > 0;
      const both = compared();
      top = Math.min(facts.ceiling ?? 10, facts.cutoff * 100);
      bottom = facts.floor;
      const edge = isLog ? distances[0] : 0;
      const place = (/** @type {number} */ r) => (isLog ? Math.log10(r) : r);
      const data = both.flatMap(({ role, net }) => {
        const [, rays, points] = results.lines.loss.shape;
        const losses = row(results.lines.loss, net);
        return Array.from({ length: rays }, (_, k) => ({
          x: [...distances],
          y: Array.from(losses.subarray(k * points, (k + 1) * points), (l) =>
            Number.isFinite(l) ? Math.max(l, bottom) : null,
          ),
          mode: "lines",
          opacity: 0.55,
          line: { color: colour(role), width: 1.2, dash: role === "bad" ? "dash" : "solid" },
          hovertemplate: `${role}, direction ${k}: %{y:.3g} nat at %{x:.3g}<extra></extra>`,
        }));
      });
      return {
        data,
        layout: {
          xaxis: (isLog ? logAxis : axis)("distance [filter norms]", {
            range: isLog
              ? [distances[0], distances[distances.length - 1]].map(Math.log10)
              : [0, distances[distances.length - 1]],
          }),
          yaxis: logAxis("training loss [nat]", { range: [bottom, top].map(Math.log10) }),
          shapes: [
            ...both
              .filter((b) => Number.isFinite(b.radius))
              .map((b) => ({
                type: "rect",
                x0: edge,
                x1: b.radius,
                y0: bottom,
                y1: cutoff,
                fillcolor: colour(b.role),
                opacity: 0.16,
                line: { width: 0 },
                layer: "below",
              })),
            cutoffLine(cutoff),
          ],
          annotations: [
            cutoffWord(cutoff),
            ...both
              .filter((b) => Number.isFinite(b.radius))
              .map((b) => ({
                x: place(b.radius),
                y: Math.log10(bottom),
                yanchor: "bottom",
                yshift: 4,
                xanchor: "right",
                bgcolor: colour("raised"),
                opacity: 0.9,
                text: `${b.role}: ${tidy(b.radius)}`,
                showarrow: false,
                font: { color: colour(b.role), size: 12 },
              })),
          ],
        },
      };
    },
    { height: 330 },
  );
  // Only a band around the line is dragged: the chart beside it can be pointed at, and a page scrolled.
  const handle = make("div", { class: "handle", title: "drag the cutoff" });
  const holder = make("div", { class: "covered" }, lineChart.element, handle);
  const plane = () => lineChart.element.clientHeight - MARGIN.t - MARGIN.b;
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    const y = (event.clientY - holder.getBoundingClientRect().top - MARGIN.t) / plane();
    level.set(placeOf(10 ** (Math.log10(top) - y * (Math.log10(top) - Math.log10(bottom)))));
  });
  function placeHandle() {
    const share = (Math.log10(top) - Math.log10(cutoff)) / (Math.log10(top) - Math.log10(bottom));
    handle.style.top = `${MARGIN.t + share * plane()}px`;
  }
  lineChart.element.addEventListener("drawn", placeHandle);

  const told = readout("At this cutoff");
  /** Where a table has a value for every network at the moved cutoff. */
  const moved = () =>
    variant === "" && exhibits[key].results.lines.loss.shape[0] === words(exhibits[key].results.nets, "net").length;
  const names = /** @type {Record<string, [string, boolean]>} */ ({
    size: ["mean n·log₁₀ r [orders of magnitude]", false],
    radius: ["median radius [filter norms]", true],
    sharpness: ["sharpness, mean dᵀHd [nat]", true],
    top_eigenvalue: ["top eigenvalue of DHD [nat]", true],
    log10_volume: ["log₁₀ volume, lower bound", false],
  });
  function heights() {
    const { facts, results } = exhibits[key];
    if (moved() && (measure === "size" || measure === "radius")) {
      return words(results.nets, "net").map(
        (_, net) => basinAt(results.lines, net, cutoff, facts.num_moved)[/** @type {"size"} */ (measure)],
      );
    }
    return [...numbers(results.nets, measure + variant)];
  }
  const dots = chart(
    "Every network: its generalisation gap, and the size or sharpness of its basin",
    () => {
      const { facts, results } = exhibits[key];
      const { nets } = results;
      const of = (/** @type {string} */ name) => numbers(nets, name);
      const values = heights();
      note("basins-nets", { data: key, measure, variant, cutoff, values });
      const [title, isLog] = names[measure];
      const text = words(nets, "net").map((name, k) =>
        [
          `<b>${plain(name)}</b>`,
          `β ${tidy(of("poison")[k])}, run ${of("run")[k]}`,
          `gap ${tidy(of("gap")[k])}`,
          `median radius ${tidy(of(`radius${variant}`)[k])}`,
          `effective rays ${tidy(of(`effective_rays${variant}`)[k])} of ${facts.num_directions}`,
          `${names[measure][0].split(" [")[0]} ${tidy(values[k], 4)}`,
        ].join("<br>"),
      );
      return {
        data: [
          {
            x: [...of("gap")],
            y: values,
            mode: "markers",
            marker: {
              size: 10,
              opacity: 0.85,
              color: colourOfNets(nets, facts.poisons),
              line: { width: 0.8, color: colour("paper") },
            },
            text,
            hovertemplate: "%{text}<extra></extra>",
          },
        ],
        layout: { xaxis: axis("generalisation gap"), yaxis: (isLog ? logAxis : axis)(title), hovermode: "closest" },
      };
    },
    { height: 330 },
  );

  const steps = 100;
  const placeOf = (/** @type {number} */ value) => {
    const [low, high] = bounds();
    return Math.max(0, Math.min(steps, Math.round((steps * Math.log(value / low)) / Math.log(high / low))));
  };
  function show() {
    const [good, bad] = compared();
    const { facts, results } = exhibits[key];
    const rays = results.lines.loss.shape[1];
    note("basins", { data: key, cutoff, good: good.radius, bad: bad.radius, orders: good.size - bad.size });
    told.tell([
      ["median radius, good", `${tidy(good.radius)} filter norms`],
      ["median radius, bad", `${tidy(bad.radius)} filter norms`],
      ["good ÷ bad", tidy(good.radius / bad.radius)],
      [
        `good larger, in ${facts.num_moved.toLocaleString("en-US")} dimensions, by`,
        `${tidy(good.size - bad.size, 4)} orders of magnitude`,
      ],
      [
        "from",
        `${rays} lines each${good.unbounded + bad.unbounded ? `; ${good.unbounded + bad.unbounded} never cross` : ""}`,
      ],
    ]);
    level.tell(`${tidy(cutoff)} nat`);
    lineChart.draw();
    dots.draw();
  }
  const level = slider({ label: "Cutoff", min: 0, max: steps, step: 1, value: placeOf(cutoff) }, (place) => {
    const [low, high] = bounds();
    cutoff = low * (high / low) ** (place / steps);
    show();
  });
  const data = choice(
    "Networks of",
    keys.map((k) => [k, titles[k]]),
    key,
    (to) => {
      key = to;
      cutoff = exhibits[key].facts.cutoff;
      level.input.value = String(placeOf(cutoff));
      show();
    },
  );
  const what = menu(
    "Against the gap",
    Object.entries(names).map(([name, [title]]) => [name, title]),
    (to) => {
      measure = to;
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
      variant = /** @type {""} */ (to);
      show();
    },
  );
  const scale = make("p", { class: "note" });
  scale.textContent =
    "Colour of a dot: poison factor, from good to bad. The cutoff moves what the page can follow along lines: both " +
    "networks on the left, and on the swiss roll every dot of size and radius as trained. All else is the run's, from all its directions, at the cutoff at which it began.";
  root.append(
    make("div", { class: "controls" }, data.element, level.element),
    make(
      "div",
      { class: "split" },
      make("div", {}, holder, told.element),
      make("div", {}, dots.element, make("div", { class: "controls" }, what.element, how.element)),
    ),
    legendOf([
      ["good", "good minimum"],
      ["bad", "bad minimum, dashed"],
    ]),
    scale,
  );
  show();
}
