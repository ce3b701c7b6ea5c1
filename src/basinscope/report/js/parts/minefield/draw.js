// The map of the minefield.

/** Margins of the map in pixels. */
const MAP_MARGIN = { l: 8, r: 8, t: 8, b: 8 };

/** Index of the trace that marks the selected network. */
const MAP_CHOSEN = 4;

/**
 * @param {MinefieldData} data
 * @param {number} chosen
 * @param {View} plane
 */
function minefieldMap(data, chosen, plane) {
  const { xs, ys, onPath } = data;
  const hidden = { visible: false, fixedrange: true };
  const word = (/** @type {string} */ text, /** @type {number} */ k) => ({
    x: xs[k],
    y: ys[k],
    text,
    showarrow: true,
    arrowhead: 0,
    ax: 0,
    ay: -28,
    bgcolor: colour("paper"),
    opacity: 0.9,
    font: { size: 13 },
  });
  return {
    data: [mapPath(data), ...mapSearches(data), mapEnd(data), mapChosen(data, chosen)],
    layout: {
      margin: MAP_MARGIN,
      xaxis: { ...hidden, range: [plane.left, plane.right] },
      yaxis: { ...hidden, range: [plane.bottom, plane.top] },
      annotations: [word("start", 0), word("finish", onPath - 1)],
    },
  };
}

/** @param {MinefieldData} data */
function mapPath({ xs, ys, onPath, epochs }) {
  return {
    x: xs.slice(0, onPath),
    y: ys.slice(0, onPath),
    mode: "lines+markers",
    line: { color: colour("path-line"), width: 1 },
    marker: {
      color: epochs,
      colorscale: [
        [0, colour("path-begin")],
        [1, colour("path-end")],
      ],
      size: 7,
      line: { width: 0.5, color: colour("paper") },
    },
    hoverinfo: "skip",
  };
}

/**
 * Searches that found a bad minimum, and those that did not.
 * @param {MinefieldData} data
 */
function mapSearches({ xs, ys, onPath, hits, testAccuracy }) {
  const successful = hits.flatMap((hit, k) => (hit ? [k] : []));
  const failed = hits.flatMap((hit, k) => (hit ? [] : [k]));
  const placed = (/** @type {number[]} */ searches) => ({
    x: searches.map((k) => xs[onPath + k]),
    y: searches.map((k) => ys[onPath + k]),
    mode: "markers",
    hoverinfo: "skip",
  });
  const scale = [
    [0, colour("bad-begin")],
    [1, colour("bad-end")],
  ];
  const edge = { width: 0.8, color: colour("paper") };
  const cross = { width: 1.5, color: colour("soft") };
  return [
    { ...placed(successful), marker: { color: successful.map((k) => testAccuracy[k]), colorscale: scale, size: 9, line: edge } },
    { ...placed(failed), marker: { color: colour("soft"), size: 7, symbol: "x-thin", line: cross } },
  ];
}

/** @param {MinefieldData} data */
function mapEnd({ xs, ys, onPath }) {
  return {
    x: [xs[onPath - 1]],
    y: [ys[onPath - 1]],
    mode: "markers",
    marker: { symbol: "star", size: 20, color: colour("star"), line: { width: 1, color: colour("ink") } },
    hoverinfo: "skip",
  };
}

/**
 * @param {MinefieldData} data
 * @param {number} chosen
 */
function mapChosen({ xs, ys }, chosen) {
  return {
    x: [xs[chosen]],
    y: [ys[chosen]],
    mode: "markers",
    marker: { symbol: "circle-open", size: 20, color: colour("ink"), line: { width: 2.5 } },
    hoverinfo: "skip",
  };
}
