// Training and test accuracy of each optimizer's network.

/** @param {OptimizersData} data */
function optimizersChart({ titles, train, test, rates, steps, losses, fitTarget }) {
  const text = titles.map((_, k) => `rate ${tidy(rates[k])}, ${tidy(steps[k])} updates, loss ${tidy(losses[k])} nat`);
  const dots = (/** @type {number[]} */ x, /** @type {string} */ of, /** @type {any} */ marker) => ({
    y: titles,
    mode: "markers",
    type: "scatter",
    x,
    text,
    marker: { size: 11, ...marker },
    hovertemplate: `%{y}, ${of}: %{x:.1%}<br>%{text}<extra></extra>`,
  });
  const line = { color: colour("soft"), width: 1, dash: "dot" };
  return {
    data: [
      dots(train, "training images", { color: colour("paper"), line: { width: 2, color: colour("trained") } }),
      dots(test, "test images", { color: colour("trained") }),
    ],
    layout: {
      margin: { ...MARGIN, l: 10 },
      xaxis: axis("images classified correctly", { tickformat: ".0%" }),
      yaxis: { automargin: true, gridcolor: colour("line"), fixedrange: true, ticks: "" },
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: fitTarget, x1: fitTarget, line }],
      hovermode: "closest",
    },
  };
}
