// Charts of the selected network: loss along a direction, radii, and mean curvature against gap.

/**
 * @param {PoisonData} data
 * @param {PoisonState} state
 */
function poisonSlice(data, state) {
  const { floor, cutoff } = data;
  return {
    data: [
      {
        x: POISON_DISTANCES,
        y: state.curve.map((loss) => Math.max(loss, floor)),
        mode: "lines",
        line: { color: poisonHue(data, state), width: 2.5 },
        hovertemplate: "%{y:.3g} nat at %{x:.3g}<extra></extra>",
      },
    ],
    layout: {
      xaxis: logAxis("distance along one direction [filter norms]", {
        range: [PUSHED.nearest, PUSHED.farthest].map(Math.log10),
      }),
      yaxis: logAxis("training loss [nat]", { range: [Math.log10(floor) - 0.2, 2] }),
      shapes: [cutoffLine(cutoff)],
      annotations: [cutoffWord(cutoff)],
    },
  };
}

/**
 * @param {PoisonData} data
 * @param {PoisonState} state
 */
function poisonRadii(data, state) {
  const edges = POISON_EDGES;
  return {
    data: [
      {
        type: "bar",
        x: edges.slice(1).map((edge, k) => Math.sqrt(edge * edges[k])),
        y: poisonCounts(data, state),
        width: edges.slice(1).map((edge, k) => edge - edges[k]),
        marker: { color: poisonHue(data, state) },
        hovertemplate: "%{y} directions at radius %{x:.3g}<extra></extra>",
      },
    ],
    layout: {
      xaxis: logAxis("radius of the basin [filter norms]", { range: [-4, 0] }),
      yaxis: axis("directions", { rangemode: "tozero" }),
      bargap: 0,
    },
  };
}

/**
 * @param {PoisonData} data
 * @param {PoisonState} state
 */
function poisonRelation(data, state) {
  const net = poisonNet(data, state);
  return {
    data: [
      {
        x: data.all("gap"),
        y: data.all("mean_curvature"),
        mode: "markers",
        marker: { size: 8, opacity: 0.75, color: data.hues.map((rank) => poisonColour(rank, data.poisons.length)) },
        hoverinfo: "skip",
      },
      {
        x: [data.of("gap", net)],
        y: [data.of("mean_curvature", net)],
        mode: "markers",
        marker: { symbol: "circle-open", size: 18, color: colour("ink"), line: { width: 2.5 } },
        hoverinfo: "skip",
      },
    ],
    layout: {
      xaxis: axis("generalisation gap"),
      yaxis: logAxis("mean curvature dᵀHd [nat]"),
    },
  };
}
