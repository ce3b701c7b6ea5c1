// Loss curves of pushed image networks, and the images with each network's predictions.

/**
 * @param {ImagesData} data
 * @param {ImagesState} state
 */
function imagesCurves({ sides, distances, curve, floor, cutoff }, { ray, at }) {
  return {
    data: [
      ...sides.map(({ role, net }) => ({
        x: [...distances],
        y: curve(net, ray).map((l) => Math.max(l, floor)),
        mode: "lines",
        line: roleLine(role, 2.5),
        hovertemplate: `${role}: %{y:.3g} nat at %{x:.3g}<extra></extra>`,
      })),
      ...sides.map(({ role, net }) => ({
        x: [distances[at]],
        y: [Math.max(curve(net, ray)[at], floor)],
        mode: "markers",
        marker: roleMarker(role),
        hoverinfo: "skip",
      })),
    ],
    layout: {
      xaxis: axis("distance [filter norms]"),
      yaxis: logAxis("training loss [nat]"),
      shapes: [cutoffLine(cutoff)],
      annotations: [cutoffWord(cutoff)],
    },
  };
}

/**
 * The images of one network.
 * @param {ImagesData} data
 * @param {Role} role
 */
function imagesSide({ count, labels, seen, examples }, role) {
  const cells = Array.from({ length: count }, (_, image) => {
    const answer = make("b");
    const truth = make("small", {}, `is a ${labels[image]}`);
    return { answer, element: make("div", { class: "example" }, thumbnail(examples, image), answer, truth) };
  });
  const group = (/** @type {number} */ kind) =>
    make("div", { class: "examples" }, ...cells.filter((_, k) => seen[k] === kind).map((c) => c.element));
  const trained = seen.filter((kind) => kind === 1).length;
  const summary = make("p", { class: "note", "aria-live": "polite" });
  const element = make(
    "div",
    {},
    roleHeading(role),
    make("p", { class: "note" }, "Training images:"),
    group(1),
    make("p", { class: "note" }, "New images:"),
    group(0),
    summary,
  );
  return {
    element,
    /** @param {ReturnType<typeof imagesAt>} view */
    update({ answers, wrong, loss }) {
      cells.forEach(({ answer, element: cell }, image) => {
        answer.textContent = String(answers[image]);
        cell.classList.toggle("wrong", answers[image] !== labels[image]);
      });
      summary.textContent =
        `Loss ${tidy(loss)} nat; wrong: ${wrong[0]} of ${trained} trained, ` +
        `${wrong[1]} of ${count - trained} new.`;
    },
  };
}
