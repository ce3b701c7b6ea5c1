// Optimizers: final accuracy of each on training and test images.

PARTS.optimizers = (root, exhibits) => {
  const data = readOptimizers(needed(exhibits, "optimizers"));
  const drawn = chart(
    "Training and test accuracy of one network trained by each optimizer",
    () => {
      note("optimizers", { titles: data.titles, test: data.test });
      return optimizersChart(data);
    },
    { height: 60 + 26 * data.titles.length },
  );
  root.append(
    drawn.element,
    make("p", { class: "note" }, "Hollow: training accuracy; filled: test accuracy; dotted line: fit threshold."),
  );
};
