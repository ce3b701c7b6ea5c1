// Loss curves of the pushed networks.

/**
 * @param {PushData} data
 * @param {PushState} state
 */
function pushCurves({ sides, distances, floor, cutoff }, { curves, losses, distance }) {
  const highest = Math.max(10, ...curves.flat());
  return {
    data: [
      ...sides.map(({ role }, k) => ({
        x: distances,
        y: curves[k].map((loss) => Math.max(loss, floor)),
        mode: "lines",
        name: `${role} minimum`,
        line: roleLine(role, 2.5),
        hovertemplate: `${role}: %{y:.3g} nat at %{x:.3g}<extra></extra>`,
      })),
      ...sides.map(({ role }, k) => ({
        x: [dotAt(distance)],
        y: [Math.max(losses[k], floor)],
        mode: "markers",
        marker: roleMarker(role),
        hoverinfo: "skip",
      })),
    ],
    layout: {
      xaxis: logAxis("distance [filter norms]", { range: [PUSHED.nearest, PUSHED.farthest].map(Math.log10) }),
      yaxis: logAxis("training loss [nat]", { range: [Math.log10(floor) - 0.2, Math.log10(highest) + 0.2] }),
      shapes: [cutoffLine(cutoff)],
      annotations: [cutoffWord(cutoff)],
    },
  };
}
