// Chart of all networks: size or curvature of the basin against the generalisation gap.

/**
 * @param {BasinsState} state
 * @param {number[]} values  From `heightsAt`.
 */
function basinDots({ data, measure, variant }, values) {
  const [title, isLog] = MEASURES[measure];
  return {
    data: [
      {
        x: data.all("gap"),
        y: values,
        mode: "markers",
        marker: {
          size: 10,
          opacity: 0.85,
          color: data.hues.map((rank) => poisonColour(rank, data.facts.poisons.length)),
          line: { width: 0.8, color: colour("paper") },
        },
        text: basinWords(data, measure, variant, values),
        hovertemplate: "%{text}<extra></extra>",
      },
    ],
    layout: { xaxis: axis("generalisation gap"), yaxis: (isLog ? logAxis : axis)(title), hovermode: "closest" },
  };
}

/**
 * Hover text of each network.
 * @param {BasinsData} data
 * @param {string} measure
 * @param {Variant} variant
 * @param {number[]} values
 */
function basinWords({ names, all, facts }, measure, variant, values) {
  const [poisons, runs, gaps] = [all("poison"), all("run"), all("gap")];
  const [radii, rays] = [all(`radius${variant}`), all(`effective_rays${variant}`)];
  return names.map((name, k) =>
    [
      `<b>${plain(name)}</b>`,
      `β ${tidy(poisons[k])}, run ${runs[k]}`,
      `gap ${tidy(gaps[k])}`,
      `median radius ${tidy(radii[k])}`,
      `effective rays ${tidy(rays[k])} of ${facts.num_directions}`,
      `${MEASURES[measure][0].split(" [")[0]} ${tidy(values[k], 4)}`,
    ].join("<br>"),
  );
}
