// Rings: a gap that is pinched, a random start and a circle side by side, and all other starts.

PARTS.rings = (root, exhibits) => {
  const data = readRings(needed(exhibits, "rings"));
  /** @type {RingsState} */
  const state = { pair: 0, zoom: 0, names: { start: "", circle: "" } };
  const pair = () => data.pairs[state.pair];
  const sides = {
    start: ringsSide(data, state, "start", "random start", "scaled"),
    circle: ringsSide(data, state, "circle", "led there by closing the gap", "trained"),
  };
  const starts = ringsStartsGrid(data, state, () => sides.start.show());
  const shares = chart(
    "Share of networks that hold both rings, by gap: random starts and nets that were led there",
    () => {
      const found = [0, 1].map((kind) => ringsShares(data, kind));
      note("rings-shares", found);
      return ringsChart(found, pair().gap);
    },
    { height: 230 },
  );
  function show() {
    gap.tell(`gap ${tidy(pair().gap)}`);
    state.names = { start: pair().start, circle: pair().circle };
    sides.start.show();
    sides.circle.show();
    starts.show();
    shares.draw();
  }
  const range = { min: 0, max: data.pairs.length - 1, step: 1, value: 0 };
  const gap = slider({ label: "Gap: wide to pinched", ...range }, (to) => {
    state.pair = to;
    show();
  });
  const zoom = slider({ label: "Look closer", min: 0, max: 100, step: 1, value: 0 }, (to) => {
    state.zoom = to;
    zoom.tell(ringsZoom(data, to));
    sides.start.show();
    sides.circle.show();
  });
  zoom.tell(ringsZoom(data, 0));
  onLook(() => starts.show());
  root.append(
    make("div", { class: "controls" }, gap.element, player(gap, { seconds: 8 }).element, zoom.element),
    make("div", { class: "pair narrow" }, sides.start.element, sides.circle.element),
    make("h4", {}, "All random starts at this gap; framed: those that found the circle. Choose one to see it above."),
    starts.element,
    shares.element,
    legendOf([
      ["scaled", "random starts"],
      ["trained", "led there by closing the gap"],
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
  const field = fieldView(`Decision boundary of the net: ${title}`, "rings-");
  const told = readout(title, hue);
  const dots = () => data.dotsAt(gaps[names.indexOf(state.names[role])]);
  const asked = explorer(data.nets, { coarse: 48, fine: 128 }, ({ spot, field: drawn, began, fine }) => {
    const name = state.names[role];
    if (live[spot.net] !== name) return;
    field.show(drawn, dots());
    if (!fine) note(`rings-${role}`, { name, field: drawn, live: true }, began);
  });
  function show() {
    const name = state.names[role];
    const net = live.indexOf(name);
    told.tell(ringsNumbers(data, name), `${title}: ${holds[names.indexOf(name)] ? "a circle" : "no circle"}`);
    field.caption.textContent =
      net >= 0
        ? ""
        : `A picture of ${data.resolution} × ${data.resolution} points, made beforehand; only the first start can be looked at closer.`;
    if (state.zoom === 0 || net < 0) {
      const picture = data.pictureOf(name);
      field.show(picture, dots());
      note(`rings-${role}`, { name, field: picture, live: false });
    }
    if (net >= 0) asked.look({ net, way: { kind: "none" }, distance: 0 }, ringsView(data, state.zoom));
  }
  return { element: make("div", {}, told.element, field.element), show };
}

/**
 * All random starts at the chosen gap, to choose from.
 * @param {RingsData} data
 * @param {RingsState} state
 * @param {() => void} chosen
 */
function ringsStartsGrid(data, state, chosen) {
  const element = make("div", { class: "thumbs" });
  return {
    element,
    show() {
      const some = ringsStarts(data, data.pairs[state.pair].gap);
      element.replaceChildren(
        ...some.map((name, k) =>
          ringsThumb(data, name, k, name === state.names.start, (one) => {
            state.names.start = name;
            chosen();
            for (const other of element.children) other.setAttribute("aria-pressed", String(other === one));
          }),
        ),
      );
      note("rings-starts", some);
    },
  };
}
