// The loss along random lines through each network.

/** @param {SurveyData} data */
function surveyLines({ section, probes: { lines }, hue, dash, unit }) {
  const data = lines.flatMap(({ label, k, of }) =>
    rowsOf(/** @type {Floats} */ (of.loss.values), of.loss.shape[1]).map((losses, ray) => ({
      x: [...numbers(of, "distance")],
      y: losses.map((l) => (Number.isFinite(l) ? l : null)),
      mode: "lines",
      line: { color: hue(k), dash: dash(k), width: 1.8 },
      opacity: 0.85,
      hovertemplate: `${plain(label)}, direction ${ray}: %{y:.4g} at %{x:.3g}<extra></extra>`,
    })),
  );
  note(
    `${section}/lines`,
    data.map((d) => d.y),
  );
  const lowest = Math.min(...data.flatMap((d) => d.y.filter((v) => v !== null)));
  return {
    data,
    layout: {
      xaxis: axis(`distance${bracketed(lines[0].of.distance.units)}`),
      yaxis: (lowest > 0 ? logAxis : axis)(`loss${unit}`),
    },
  };
}
