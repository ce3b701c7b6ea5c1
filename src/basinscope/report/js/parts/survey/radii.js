// Cumulative distribution of the radii of each network's basin.

/** @param {SurveyData} data */
function surveyRadii({ section, probes: { radii }, hue, dash }) {
  const data = radii.map(({ label, k, of }) => {
    const known = Array.from(numbers(of, "radius"))
      .filter(Number.isFinite)
      .sort((a, b) => a - b);
    return {
      x: known,
      y: known.map((_, n) => (n + 1) / of.radius.shape[0]),
      mode: "lines",
      line: { shape: "hv", color: hue(k), dash: dash(k), width: 2.2 },
      hovertemplate: `${plain(label)}: %{y:.0%} of the directions: radius up to %{x:.3g}<extra></extra>`,
    };
  });
  note(
    `${section}/radii`,
    data.map((d) => d.x),
  );
  return {
    data,
    layout: {
      xaxis: axis(`radius${bracketed(radii[0].of.radius.units)}`, { rangemode: "tozero" }),
      yaxis: axis("share of directions with a smaller radius", { range: [0, 1.02], tickformat: ".0%" }),
    },
  };
}
