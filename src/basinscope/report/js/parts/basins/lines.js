// Chart of the loss along lines, with the cutoff and the basins it bounds.

/** @param {BasinsState} state */
function basinLines(state) {
  const { distances } = state.data;
  const isLog = distances[0] > 0;
  const { bottom, top } = lineLimits(state.data);
  const ends = isLog ? [distances[0], distances[distances.length - 1]] : [0, distances[distances.length - 1]];
  const both = comparedAt(state);
  const bounded = both.filter(({ radius }) => Number.isFinite(radius));
  return {
    data: both.flatMap(({ role, net }) => roleLines(state.data, role, net)),
    layout: {
      xaxis: (isLog ? logAxis : axis)("distance [filter norms]", { range: isLog ? ends.map(Math.log10) : ends }),
      yaxis: logAxis("training loss [nat]", { range: [bottom, top].map(Math.log10) }),
      shapes: [
        ...bounded.map(({ role, radius }) => basinBox(role, ends[0], radius, bottom, state.cutoff)),
        cutoffLine(state.cutoff),
      ],
      annotations: [
        cutoffWord(state.cutoff),
        ...bounded.map(({ role, radius }) => radiusWord(role, isLog ? Math.log10(radius) : radius, radius, bottom)),
      ],
    },
  };
}

/**
 * The lines of one network.
 * @param {BasinsData} data
 * @param {Role} role
 * @param {number} net
 */
function roleLines({ distances, rays, line, facts }, role, net) {
  return Array.from({ length: rays }, (_, k) => ({
    x: [...distances],
    y: Array.from(line(net, k), (l) => (Number.isFinite(l) ? Math.max(l, facts.floor) : null)),
    mode: "lines",
    opacity: 0.55,
    line: roleLine(role, 1.2),
    hovertemplate: `${role}, direction ${k}: %{y:.3g} nat at %{x:.3g}<extra></extra>`,
  }));
}

/**
 * @param {Role} role
 * @param {number} from
 * @param {number} radius
 * @param {number} bottom
 * @param {number} cutoff
 */
function basinBox(role, from, radius, bottom, cutoff) {
  return {
    type: "rect",
    x0: from,
    x1: radius,
    y0: bottom,
    y1: cutoff,
    fillcolor: colour(role),
    opacity: 0.16,
    line: { width: 0 },
    layer: "below",
  };
}

/**
 * @param {Role} role
 * @param {number} x  Position on the axis.
 * @param {number} radius
 * @param {number} bottom
 */
function radiusWord(role, x, radius, bottom) {
  return {
    x,
    y: Math.log10(bottom),
    yanchor: "bottom",
    yshift: 4,
    xanchor: "right",
    bgcolor: colour("raised"),
    opacity: 0.9,
    text: `${role}: ${tidy(radius)}`,
    showarrow: false,
    font: { color: colour(role), size: 12 },
  };
}
