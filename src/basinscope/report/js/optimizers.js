// Optimizers: where each ends, on training images and on new ones.

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function optimizers(root, { architectures: { facts, results } }) {
  const table = results.optimizers;
  const order = [...numbers(table, "test_accuracy").keys()].sort(
    (a, b) => numbers(table, "test_accuracy")[a] - numbers(table, "test_accuracy")[b],
  );
  const of = (/** @type {string} */ name) => order.map((k) => numbers(table, name)[k]);
  const titles = order.map((k) => plain(words(table, "title")[k].replace(/\s+/g, " ")));
  const drawn = chart(
    "Training and test accuracy of one network trained by each optimizer",
    () => {
      note("optimizers", { titles, test: of("test_accuracy") });
      const common = { y: titles, mode: "markers", type: "scatter" };
      const text = order.map(
        (_, k) =>
          `rate ${tidy(of("learning_rate")[k])}, ${tidy(of("steps")[k])} updates, loss ${tidy(of("clean_loss")[k])} nat`,
      );
      return {
        data: [
          {
            ...common,
            x: of("train_accuracy"),
            text,
            marker: { size: 11, color: colour("paper"), line: { width: 2, color: colour("trained") } },
            hovertemplate: "%{y}, training images: %{x:.1%}<br>%{text}<extra></extra>",
          },
          {
            ...common,
            x: of("test_accuracy"),
            text,
            marker: { size: 11, color: colour("trained") },
            hovertemplate: "%{y}, test images: %{x:.1%}<br>%{text}<extra></extra>",
          },
        ],
        layout: {
          margin: { ...MARGIN, l: 10 },
          xaxis: axis("share of the images that is right", { tickformat: ".0%" }),
          yaxis: { automargin: true, gridcolor: colour("line"), fixedrange: true, ticks: "" },
          shapes: [
            {
              type: "line",
              yref: "paper",
              y0: 0,
              y1: 1,
              x0: facts.fit_target,
              x1: facts.fit_target,
              line: { color: colour("soft"), width: 1, dash: "dot" },
            },
          ],
          hovermode: "closest",
        },
      };
    },
    { height: 60 + 26 * titles.length },
  );
  root.append(
    drawn.element,
    make("p", { class: "note" }, "Open: training images; full: test images; dotted: what counts as fitted."),
  );
}
