// The first picture: a good and a bad minimum of one network, side by side.

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function hero(root, { swissroll: { facts, results } }) {
  const { weights, train, test } = results;
  const view = squareView(facts.extent);
  const samples = { train: samplesOf(train), test: samplesOf(test) };
  const sides = ["good", "bad"].map((role) => {
    const net = words(weights, "net").indexOf(facts[role]);
    const field = fieldView(`Decision boundary of the ${role} minimum, with the training points`);
    const own = { widths: facts.widths, weights: /** @type {Floats} */ (row(weights.weights, net)), samples };
    const asked = explorer(own, { coarse: 64, fine: 160 }, ({ field: drawn, scores }) => {
      field.show(drawn, { ...samples.train, wrong: scores.train.wrong });
      field.caption.textContent = `${role}: training points ${percent(scores.train.accuracy)}, fresh ones ${percent(scores.test.accuracy)} right`;
      field.caption.style.color = `var(--${role})`;
      note(`hero-${role}`, { field: drawn, scores });
    });
    asked.look({ net: 0, way: { kind: "none" }, distance: 0 }, view);
    return field.element;
  });
  root.append(...sides);
}
