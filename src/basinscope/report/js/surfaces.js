// The loss on a plane through each minimum, as surfaces that turn together.

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function surfaces(root, exhibits) {
  /** @type {[string, string, string, string][]} */
  const known = [];
  if (exhibits.swissroll) {
    known.push(
      ["swissroll", "slice", "wide", "swiss roll"],
      ["swissroll", "middle", "close", "swiss roll, the middle"],
    );
  }
  if (exhibits.image_minima) known.push(["image_minima", "slice", "images", "images"]);
  let which = known[0];
  /** @type {"log" | "linear"} */
  let scale = "log";
  const held = () => {
    const { facts, results } = exhibits[which[0]];
    const result = results[which[1]];
    const names = words(result, "net");
    const size = result.loss.shape[2];
    const losses = ["good", "bad"].map((role) => rowsOf(row(result.loss, names.indexOf(facts[role])), size));
    return { facts, result, losses };
  };
  const height = (/** @type {number} */ loss, /** @type {number} */ floor) =>
    Number.isFinite(loss) ? (scale === "log" ? Math.log10(Math.max(loss, floor)) : loss) : null;
  /** One scale for both surfaces. */
  function limits() {
    const { facts, losses } = held();
    const all = losses.flat(2).filter(Number.isFinite);
    const top = all.reduce((a, b) => Math.max(a, b), facts.floor);
    return scale === "log" ? [Math.log10(facts.floor), Math.ceil(Math.log10(top))] : [0, top];
  }
  const roles = ["good", "bad"];
  const { elements, turn, draw } = turningTogether(
    roles.map((role) => `Loss around the ${role} minimum as a surface`),
    (index) => {
      const { facts, result, losses } = held();
      const [low, high] = limits();
      const turnedRows = transposed(losses[index]);
      const z = turnedRows.map((line) => line.map((loss) => height(loss, facts.floor)));
      note(`surface-${roles[index]}`, { which: which[2], scale, low, high, z });
      return {
        x: [...numbers(result, "first")],
        y: [...numbers(result, "second")],
        z,
        losses: turnedRows,
        low,
        high,
        height: scale === "log" ? "log₁₀ loss" : "loss [nat]",
      };
    },
  );
  const data = choice(
    "Loss of",
    known.map((k) => [k[2], k[3]]),
    which[2],
    (to) => {
      which = known.filter((k) => k[2] === to)[0];
      draw();
    },
  );
  const how = choice(
    "Height",
    [
      ["log", "log"],
      ["linear", "linear"],
    ],
    "log",
    (to) => {
      scale = to;
      draw();
    },
  );
  root.append(
    make("div", { class: "controls" }, data.element, how.element, turn),
    make(
      "div",
      { class: "pair" },
      ...roles.map((role, k) => {
        const head = make("h4", {}, `${role} minimum`);
        head.style.color = `var(--${role})`;
        return make("div", {}, head, elements[k]);
      }),
    ),
    make(
      "p",
      { class: "note" },
      "Floors in filter norms along two random directions; one scale of heights and colours for both.",
    ),
  );
}
