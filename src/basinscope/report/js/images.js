// Pushed images: what a convolutional net says while its weights go out.

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function images(root, { image_minima: { facts, results } }) {
  const { slices, examples } = results;
  const distances = numbers(slices, "distance");
  const middle = distances.length >> 1;
  const [rays, points] = slices.loss.shape.slice(1);
  const { shape } = examples.logits;
  const [, , , count, classes] = shape;
  const labels = numbers(examples, "labels");
  const seen = numbers(examples, "seen");
  let ray = 0;

  /**
   * Class that a net names for each image.
   * @param {number} net
   * @param {number} at
   */
  function named(net, at) {
    const all = /** @type {Float32Array} */ (row(examples.logits, net));
    return Array.from({ length: count }, (_, image) => {
      const begin = ((ray * points + at) * count + image) * classes;
      const odds = all.subarray(begin, begin + classes);
      return odds.indexOf(Math.max(...odds));
    });
  }
  const sides = ["good", "bad"].map((role) => {
    const net = words(slices, "net").indexOf(facts[role]);
    const cells = Array.from({ length: count }, (_, image) => {
      const answer = make("b");
      const truth = make("small", {}, `is ${labels[image]}`);
      return { answer, element: make("div", { class: "example" }, thumbnail(examples, image), answer, truth) };
    });
    const group = (/** @type {number} */ kind) =>
      make("div", { class: "examples" }, ...cells.filter((_, k) => seen[k] === kind).map((c) => c.element));
    const head = make("h4", {}, `${role} minimum`);
    head.style.color = `var(--${role})`;
    const right = make("p", { class: "note", "aria-live": "polite" });
    const element = make(
      "div",
      {},
      head,
      make("p", { class: "note" }, "Trained on these:"),
      group(1),
      make("p", { class: "note" }, "Never seen:"),
      group(0),
      right,
    );
    return { role, net, cells, right, element };
  });
  const curve = (/** @type {number} */ net) => {
    const all = row(slices.loss, net);
    return Array.from(all.subarray(ray * points, (ray + 1) * points));
  };
  const curves = chart(
    "Training loss of the good and the bad net along one direction",
    () => ({
      data: [
        ...sides.map(({ role, net }) => ({
          x: [...distances],
          y: curve(net).map((l) => Math.max(l, facts.floor)),
          mode: "lines",
          line: { color: colour(role), width: 2.5, dash: role === "bad" ? "dash" : "solid" },
          hovertemplate: `${role}: %{y:.3g} nat at %{x:.3g}<extra></extra>`,
        })),
        ...sides.map(({ role, net }) => ({
          x: [distances[place.value()]],
          y: [Math.max(curve(net)[place.value()], facts.floor)],
          mode: "markers",
          marker: { size: 14, color: colour(role), line: { width: 2, color: colour("paper") } },
          hoverinfo: "skip",
        })),
      ],
      layout: {
        xaxis: axis("distance [filter norms]"),
        yaxis: logAxis("training loss [nat]"),
        shapes: [cutoffLine(facts.cutoff)],
        annotations: [cutoffWord(facts.cutoff)],
      },
    }),
    { height: 260 },
  );
  function show() {
    const at = place.value();
    place.tell(`${tidy(distances[at])} filter norms`);
    const told = sides.map(({ net, cells, right, role }, k) => {
      const answers = named(net, at);
      cells.forEach(({ answer, element }, image) => {
        answer.textContent = String(answers[image]);
        element.classList.toggle("wrong", answers[image] !== labels[image]);
      });
      const wrong = [1, 0].map((kind) => answers.filter((a, i) => seen[i] === kind && a !== labels[i]).length);
      const loss = curve(net)[at];
      right.textContent = `Loss ${tidy(loss)} nat; wrong: ${wrong[0]} of the trained, ${wrong[1]} of the new ones.`;
      curves.move(k + 2, { x: [[distances[at]]], y: [[Math.max(loss, facts.floor)]] });
      return { role, answers, wrong, loss };
    });
    note("images", { ray, distance: distances[at], told });
  }
  const place = slider({ label: "Distance", min: 0, max: points - 1, step: 1, value: middle }, show);
  const direction = choice(
    "Direction",
    Array.from({ length: rays }, (_, k) => [String(k), String(k + 1)]),
    "0",
    (to) => {
      ray = Number(to);
      curves.draw();
      show();
    },
  );
  root.append(
    make("div", { class: "pair" }, ...sides.map((s) => s.element)),
    make("div", { class: "controls" }, place.element, player(place, { seconds: 6 }).element, direction.element),
    curves.element,
    legendOf([
      ["good", "good minimum"],
      ["bad", "bad minimum, dashed"],
    ]),
  );
  show();
}

/**
 * One image as a canvas.
 * @param {Result} examples
 * @param {number} image
 */
function thumbnail(examples, image) {
  const [, channels, height, width] = examples.pixels.shape;
  const bytes = row(examples.pixels, image);
  const canvas = make("canvas", {
    width,
    height,
    role: "img",
    "aria-label": `image of class ${numbers(examples, "labels")[image]}`,
  });
  const draw = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const data = draw.createImageData(width, height);
  for (let k = 0; k < width * height; k++) {
    for (let c = 0; c < 3; c++) data.data[4 * k + c] = bytes[(channels === 1 ? 0 : c) * width * height + k];
    data.data[4 * k + 3] = 255;
  }
  draw.putImageData(data, 0, 0);
  return canvas;
}
