// Images: predictions of two convolutional networks while their weights are pushed.

PARTS.images = (root, exhibits) => {
  const data = readImages(needed(exhibits, "images"));
  const { distances, sides, floor } = data;
  /** @type {ImagesState} */
  const state = { ray: 0, at: distances.length >> 1 };
  const shownSides = sides.map(({ role }) => imagesSide(data, role));
  const curves = chart(
    "Training loss of the good and the bad network along one direction",
    () => imagesCurves(data, state),
    { height: 260 },
  );
  function show() {
    const distance = distances[state.at];
    slide.update(`${tidy(distance)} filter norms`);
    const views = sides.map((side, k) => {
      const view = imagesAt(data, state, side);
      shownSides[k].update(view);
      curves.move(k + 2, { x: [[distance]], y: [[Math.max(view.loss, floor)]] });
      return view;
    });
    note("images", { ray: state.ray, distance, sides: views });
  }
  const slide = slider(
    { label: "Distance", min: 0, max: distances.length - 1, step: 1, value: state.at },
    (at) => {
      state.at = at;
      show();
    },
  );
  const direction = choice(
    "Direction",
    Array.from({ length: data.rays }, (_, k) => [String(k), String(k + 1)]),
    "0",
    (to) => {
      state.ray = Number(to);
      curves.draw();
      show();
    },
  );
  root.append(
    make("div", { class: "pair stacked" }, ...shownSides.map(({ element }) => element)),
    make("div", { class: "controls" }, slide.element, player(slide, { seconds: 6 }).element, direction.element),
    curves.element,
    rolesLegend(),
  );
  show();
};
