// The loss on a plane through each minimum, as surfaces that turn together.

PARTS.surfaces = (root, exhibits) => {
  const planes = readPlanes(exhibits);
  /** @type {SurfacesState} */
  const state = { plane: planes[0], scale: "log" };
  const { elements, turn, draw } = turningTogether(
    ROLES.map((role) => `Loss around the ${role} minimum as a surface`),
    (index) => {
      const drawn = surfaceOf(state, index);
      const { low, high, z } = drawn;
      note(`surface-${ROLES[index]}`, { which: state.plane.key, scale: state.scale, low, high, z });
      return drawn;
    },
  );
  const data = choice(
    "Data",
    planes.map(({ key, title }) => [key, title]),
    state.plane.key,
    (to) => {
      state.plane = planes.filter(({ key }) => key === to)[0];
      draw();
    },
  );
  const how = choice(
    "Height",
    [
      ["log", "log"],
      ["linear", "linear"],
    ],
    "log",
    (to) => {
      state.scale = /** @type {"log"} */ (to);
      draw();
    },
  );
  root.append(
    make("div", { class: "controls" }, data.element, how.element, turn),
    make("div", { class: "pair stacked" }, ...ROLES.map((role, k) => make("div", {}, roleHeading(role), elements[k]))),
    make(
      "p",
      { class: "note" },
      "Horizontal axes: two random directions, in filter norms. Both surfaces share one scale of height and colour.",
    ),
  );
};
