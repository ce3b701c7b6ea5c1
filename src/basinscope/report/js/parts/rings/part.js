// Rings: a random start and a circle side by side while the gap closes, and all other starts.

PARTS.rings = (root, exhibits) => {
  const data = readRings(needed(exhibits, "rings"));
  /** @type {RingsState} */
  const state = { pair: 0, zoom: 0, names: { start: "", circle: "" } };
  const pair = () => data.pairs[state.pair];
  const sides = {
    start: ringsSide(data, state, "start", "random start", "scaled"),
    circle: ringsSide(data, state, "circle", "led by closing the gap", "trained"),
  };
  const starts = ringsStartsGrid(data, state, () => sides.start.show());
  const shares = chart(
    "Share of networks that found the circle, by gap: random starts, and networks led by closing the gap",
    () => {
      const both = [0, 1].map((kind) => ringsShares(data, kind));
      note("rings-shares", both);
      return ringsChart(both, pair().gap);
    },
    { height: 230 },
  );
  function show() {
    gap.update(`gap ${tidy(pair().gap)}`);
    state.names = { start: pair().start, circle: pair().circle };
    sides.start.show();
    sides.circle.show();
    starts.show();
    shares.draw();
  }
  const range = { min: 0, max: data.pairs.length - 1, step: 1, value: 0 };
  const gap = slider({ label: "Gap: wide to narrow", ...range }, (to) => {
    state.pair = to;
    show();
  });
  const zoom = slider({ label: "Zoom", min: 0, max: 100, step: 1, value: 0 }, (to) => {
    state.zoom = to;
    zoom.update(ringsZoom(data, to));
    sides.start.show();
    sides.circle.show();
  });
  zoom.update(ringsZoom(data, 0));
  onLook(() => starts.show());
  root.append(
    make("div", { class: "controls" }, gap.element, player(gap, { seconds: 8 }).element, zoom.element),
    make("div", { class: "pair narrow" }, sides.start.element, sides.circle.element),
    make("h4", {}, "All random starts at this gap; framed ones found the circle. Click one to show it above."),
    starts.element,
    shares.element,
    legendOf([
      ["scaled", "random starts"],
      ["trained", "led by closing the gap"],
    ]),
  );
  show();
};

/**
 * One of the two networks side by side.
 * @param {RingsData} data
 * @param {RingsState} state
 * @param {RingsRole} role
 * @param {string} title
 * @param {string} hue
 */
function ringsSide(data, state, role, title, hue) {
  const { names, live, gaps, holds } = data;
  const field = fieldView(`Decision boundary of the network: ${title}`, "rings-");
  const stats = readout(title, hue);
  const dots = () => data.dotsAt(gaps[names.indexOf(state.names[role])]);
  const evaluator = explorer(data.nets, { coarse: 48, fine: 128 }, ({ spot, field: drawn, began, fine }) => {
    const name = state.names[role];
    if (live[spot.net] !== name) return;
    field.show(drawn, dots());
    if (!fine) note(`rings-${role}`, { name, field: drawn, live: true }, began);
  });
  function show() {
    const name = state.names[role];
    const net = live.indexOf(name);
    stats.update(ringsNumbers(data, name), `${title}: ${holds[names.indexOf(name)] ? "a circle" : "no circle"}`);
    field.caption.textContent =
      net >= 0
        ? ""
        : `Stored picture of ${data.resolution} × ${data.resolution} points; only the first start can be zoomed.`;
    if (state.zoom === 0 || net < 0) {
      const picture = data.pictureOf(name);
      field.show(picture, dots());
      note(`rings-${role}`, { name, field: picture, live: false });
    }
    if (net >= 0) evaluator.look({ net, way: { kind: "none" }, distance: 0 }, ringsView(data, state.zoom));
  }
  return { element: make("div", {}, stats.element, field.element), show };
}

/**
 * All random starts at the selected gap, as buttons.
 * @param {RingsData} data
 * @param {RingsState} state
 * @param {() => void} chosen
 */
function ringsStartsGrid(data, state, chosen) {
  const element = make("div", { class: "thumbs" });
  return {
    element,
    show() {
      const starts = ringsStarts(data, data.pairs[state.pair].gap);
      element.replaceChildren(
        ...starts.map((name, k) =>
          ringsThumb(data, name, k, name === state.names.start, (one) => {
            state.names.start = name;
            chosen();
            for (const other of element.children) other.setAttribute("aria-pressed", String(other === one));
          }),
        ),
      );
      note("rings-starts", starts);
    },
  };
}
