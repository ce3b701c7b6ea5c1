// Eigenvalues of each network's Hessian: the largest ones, and the spectral density.

/** @param {SurveyData} data */
function surveyEigenvalues({ section, probes: { curvature }, labels, hue }) {
  const data = curvature.map(({ label, k, of }) => ({
    x: [...numbers(of, "rank")].map((r) => r + 0.12 * (k - (labels.length - 1) / 2)),
    y: [...numbers(of, "eigenvalue")],
    error_y: { type: "data", array: [...numbers(of, "residual")], color: hue(k) },
    mode: "markers",
    marker: { size: 10, color: hue(k), symbol: k },
    hovertemplate: `${plain(label)}: %{y:.4g}<extra></extra>`,
  }));
  note(
    `${section}/curvature`,
    data.map((d) => d.y),
  );
  return {
    data,
    layout: {
      xaxis: axis("rank", { dtick: 1 }),
      yaxis: axis(`eigenvalue${bracketed(curvature[0].of.eigenvalue.units)}`),
    },
  };
}

/**
 * Networks whose density was measured.
 * @param {SurveyData} data
 */
function withDensity({ probes: { curvature } }) {
  return curvature.filter(
    ({ of }) => of.density && of.density.shape[0] > 0 && Number.isFinite(numbers(of, "density")[0]),
  );
}

/** @param {SurveyData} survey */
function surveyDensity(survey) {
  const { section, hue, dash } = survey;
  const densities = withDensity(survey);
  const data = densities.map(({ label, k, of }) => ({
    x: [...numbers(of, "value")],
    y: [...numbers(of, "density")].map((d) => Math.max(d, 1e-6)),
    mode: "lines",
    line: { color: hue(k), dash: dash(k), width: 2 },
    hovertemplate: `${plain(label)}: %{y:.3g} at %{x:.3g}<extra></extra>`,
  }));
  note(
    `${section}/density`,
    data.map((d) => d.y),
  );
  return {
    data,
    layout: { xaxis: axis(`eigenvalue${bracketed(densities[0].of.eigenvalue.units)}`), yaxis: logAxis("density") },
  };
}
