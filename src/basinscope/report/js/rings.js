// Rings: a gap that is pinched, a random start and a circle side by side, and all other starts.

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function rings(root, { rings: { facts, results } }) {
  const { weights, nets, pictures, points } = results;
  const names = words(nets, "net");
  const live = words(weights, "net");
  const gaps = numbers(nets, "gap");
  const holds = numbers(nets, "holds");
  const led = numbers(nets, "led");
  const size = pictures.odds.shape[1];
  const whole = squareView(facts.extent);

  /** @param {number} gap */
  const dotsAt = (gap) => ({
    inputs: row(points.inputs, nearest(numbers(points, "gap"), gap)),
    labels: numbers(points, "labels"),
  });
  /** The stored picture of a network. @param {string} name @returns {Field} */
  function pictureOf(name) {
    const odds = Float32Array.from(row(pictures.odds, names.indexOf(name)), (v) => v / facts.steps_per_nat);
    return { resolution: size, view: whole, odds };
  }
  /** Looks closer where the middle ring is pinched: at its first point, halfway between two blue ones. */
  function view() {
    const half = facts.extent * (0.012 / facts.extent) ** (zoom.value() / 100);
    const share = Math.min(1, zoom.value() / 30);
    const angle = Math.PI / 40;
    const x = share * facts.inner * Math.cos(angle);
    const y = share * facts.inner * Math.sin(angle);
    return { left: x - half, right: x + half, bottom: y - half, top: y + half };
  }
  const sides = [
    { role: "start", title: "random start", hue: "scaled" },
    { role: "circle", title: "led there by closing the gap", hue: "trained" },
  ].map(({ role, title, hue }) => {
    const field = fieldView(`Decision boundary of the net: ${title}`, "rings-");
    const told = readout(title, hue);
    const side = { role, title, field, told, name: "" };
    const asked = explorer(
      { widths: facts.widths, weights: /** @type {Floats} */ (numbers(weights, "weights")), samples: {} },
      { coarse: 48, fine: 128 },
      ({ spot, field: drawn, began, fine }) => {
        if (live[spot.net] !== side.name) return;
        field.show(drawn, dotsAt(gaps[names.indexOf(side.name)]));
        if (!fine) note(`rings-${role}`, { name: side.name, field: drawn, live: true }, began);
      },
    );
    return Object.assign(side, { asked });
  });

  /** @param {(typeof sides)[0]} side
   *  @param {string} name */
  function showSide(side, name) {
    side.name = name;
    const k = names.indexOf(name);
    const shares = [numbers(nets, "blue_share")[k], numbers(nets, "red_share")[k]];
    const rounded = facts.rounded[name];
    /** @type {[string, string][]} */
    const told = [
      ["gap", tidy(gaps[k])],
      ["blue ring right", percent(shares[0])],
      ["red ring right", percent(shares[1])],
    ];
    if (rounded && shares.some((share, c) => Math.abs(share - rounded[c]) > 5e-4)) {
      told.push(["as drawn, in half precision", rounded.map(percent).join(", ")]);
    }
    side.told.tell(told, `${side.title}: ${holds[k] ? "a circle" : "no circle"}`);
    side.field.caption.textContent = live.includes(name)
      ? ""
      : `A picture of ${size} × ${size} points, made beforehand; only the first start can be looked at closer.`;
    const picture = pictureOf(name);
    const where = view();
    if (zoom.value() === 0 || !live.includes(name)) {
      side.field.show(picture, dotsAt(gaps[k]));
      note(`rings-${side.role}`, { name, field: picture, live: false });
    }
    if (live.includes(name)) side.asked.look({ net: live.indexOf(name), way: { kind: "none" }, distance: 0 }, where);
  }

  const shares = chart(
    "Share of networks that hold both rings, by gap: random starts and nets that were led there",
    () => {
      const by = (/** @type {number} */ kind) => {
        /** @type {Map<number, number[]>} */
        const groups = new Map();
        names.forEach((_, k) => led[k] === kind && groups.set(gaps[k], [...(groups.get(gaps[k]) ?? []), holds[k]]));
        return [...groups.entries()].map(([gap, held]) => [gap, mean(held)]);
      };
      const lines = [
        { of: by(0), hue: "scaled", text: "random starts", symbol: "circle" },
        { of: by(1), hue: "trained", text: "led there", symbol: "square" },
      ];
      note(
        "rings-shares",
        lines.map(({ of }) => of),
      );
      return {
        data: [
          ...lines.map(({ of, hue, text, symbol }) => ({
            x: of.map((p) => p[0]),
            y: of.map((p) => p[1]),
            mode: "lines+markers",
            line: { color: colour(hue), width: 2 },
            marker: { symbol, size: 8 },
            hovertemplate: `${text}, gap %{x:.3g}: %{y:.0%}<extra></extra>`,
          })),
        ],
        layout: {
          xaxis: logAxis("gap between the inner rings", { autorange: "reversed" }),
          yaxis: axis("share that are circles", { range: [-0.05, 1.05], tickformat: ".0%" }),
          shapes: [
            {
              type: "line",
              yref: "paper",
              y0: 0,
              y1: 1,
              x0: pair().gap,
              x1: pair().gap,
              line: { color: colour("soft"), width: 1.5, dash: "dot" },
            },
          ],
        },
      };
    },
    { height: 230 },
  );

  const pair = () => facts.pairs[gap.value()];
  const starts = make("div", { class: "thumbs" });
  function showStarts() {
    const some = names.filter((_, k) => !led[k] && Math.abs(gaps[k] / pair().gap - 1) < 1e-6);
    starts.replaceChildren(
      ...some.map((name, k) => {
        const canvas = make("canvas", { width: 96, height: 96 });
        const draw = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
        const paint = () => draw.putImageData(shade(draw, pictureOf(name), 96, "rings-"), 0, 0);
        const one = button("", () => {
          showSide(sides[0], name);
          for (const other of starts.children) other.setAttribute("aria-pressed", String(other === one));
        });
        one.append(canvas);
        one.setAttribute("aria-label", `start ${k}, ${holds[names.indexOf(name)] ? "circle" : "no circle"}`);
        one.setAttribute("aria-pressed", String(name === sides[0].name));
        one.classList.toggle("held", Boolean(holds[names.indexOf(name)]));
        paint();
        return one;
      }),
    );
    note("rings-starts", some);
  }
  function show() {
    gap.tell(`gap ${tidy(pair().gap)}`);
    sides.forEach((side) => showSide(side, pair()[side.role]));
    showStarts();
    shares.draw();
  }
  const gap = slider({ label: "Gap: wide to pinched", min: 0, max: facts.pairs.length - 1, step: 1, value: 0 }, show);
  const zoom = slider({ label: "Look closer", min: 0, max: 100, step: 1, value: 0 }, (to) => {
    zoom.tell(to ? `${tidy(whole.right / ((view().right - view().left) / 2))}×` : "whole");
    sides.forEach((side) => showSide(side, side.name));
  });
  zoom.tell("whole");
  onLook(() => showStarts());
  root.append(
    make("div", { class: "controls" }, gap.element, player(gap, { seconds: 8 }).element, zoom.element),
    make("div", { class: "pair" }, ...sides.map((side) => make("div", {}, side.told.element, side.field.element))),
    make("h4", {}, "All random starts at this gap; framed: those that found the circle. Choose one to see it above."),
    starts,
    shares.element,
    legendOf([
      ["scaled", "random starts"],
      ["trained", "led there by closing the gap"],
    ]),
  );
  show();
}
