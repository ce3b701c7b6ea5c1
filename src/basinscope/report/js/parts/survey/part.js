// Charts of the measurements around the user's networks, side by side.

PARTS.survey = (root, exhibits) => {
  const data = readSurvey(root, Object.values(exhibits)[0]);
  const { lines, radii, curvature, planes } = data.probes;
  const tile = (/** @type {boolean} */ known, /** @type {string} */ title, /** @type {string} */ description, /** @type {Drawing} */ drawing) =>
    known ? [make("div", {}, make("h4", {}, title), chart(description, drawing).element)] : [];
  const tiles = [
    ...tile(lines.length > 0, "Loss along random lines", "Loss along random lines through each network", () =>
      surveyLines(data),
    ),
    ...tile(radii.length > 0, "Radius of the basin", "Radii of each network's basin along random directions", () =>
      surveyRadii(data),
    ),
    ...tile(curvature.length > 0, "Largest eigenvalues of the Hessian", "Largest eigenvalues of each network's Hessian", () =>
      surveyEigenvalues(data),
    ),
    ...tile(
      withDensity(data).length > 0,
      "Density of the eigenvalues",
      "Density of the eigenvalues of each network's Hessian",
      () => surveyDensity(data),
    ),
    ...(planes.length ? [surveyPlanesElement(data)] : []),
  ];
  root.append(
    legendOf(data.labels.map((label, k) => [data.hue(k), label])),
    make("div", { class: "tiles" }, ...tiles),
  );
};
