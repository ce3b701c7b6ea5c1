// Decision boundaries: the plane coloured by class, with samples on top.

/**
 * @typedef {Object} Dots
 * @property {ArrayLike<number>} inputs  x and y of each sample.
 * @property {ArrayLike<number>} labels
 * @property {ArrayLike<number>} [wrong]  1 for misclassified samples.
 */

/**
 * @param {string} description  Text alternative for screen readers.
 * @param {string} [palette]  Prefix of its colours' names.
 */
function fieldView(description, palette = "") {
  const canvas = make("canvas", { role: "img", "aria-label": description });
  const caption = make("figcaption");
  const element = make("figure", { class: "field" }, canvas, caption);
  const draw = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  /** @type {{field: Field, dots: Dots | null} | null} */
  let shown = null;

  function fit() {
    const width = Math.max(60, Math.round(canvas.clientWidth * Math.min(2, devicePixelRatio)));
    if (canvas.width !== width) canvas.width = canvas.height = width;
    return width;
  }

  function paint() {
    if (!shown) return;
    const width = fit();
    const { field, dots } = shown;
    draw.putImageData(shade(draw, field, width, palette), 0, 0);
    if (dots) plot(field.view, dots, width);
  }

  /**
   * @param {View} view
   * @param {Dots} dots
   * @param {number} width
   */
  function plot({ left, right, bottom, top }, { inputs, labels, wrong }, width) {
    const scale = (width / Math.max(1, canvas.clientWidth)) * Math.min(1, Math.max(0.5, canvas.clientWidth / 400));
    const colours = [colour(`${palette}point-0`), colour(`${palette}point-1`)];
    const [edge, alarm] = [colour("point-edge"), colour("ink")];
    // Misclassified samples are drawn last, on top.
    for (const bad of [0, 1]) {
      for (let k = 0; k < labels.length; k++) {
        if ((wrong?.[k] ?? 0) !== bad) continue;
        const x = ((inputs[2 * k] - left) / (right - left)) * width;
        const y = (1 - (inputs[2 * k + 1] - bottom) / (top - bottom)) * width;
        if (x < -9 || y < -9 || x > width + 9 || y > width + 9) continue;
        draw.beginPath();
        draw.arc(x, y, (bad ? 4.4 : 3.2) * scale, 0, 2 * Math.PI);
        draw.fillStyle = colours[labels[k]];
        draw.fill();
        draw.lineWidth = (bad ? 1.8 : 0.8) * scale;
        draw.strokeStyle = bad ? alarm : edge;
        draw.stroke();
      }
    }
  }

  new ResizeObserver(paint).observe(canvas);
  onLook(paint);
  return {
    element,
    caption,
    /**
     * @param {Field} field
     * @param {Dots | null} dots
     */
    show(field, dots) {
      shown = { field, dots };
      paint();
      if (dots?.wrong) {
        const count = Array.from(dots.wrong).reduce((a, b) => a + b, 0);
        canvas.setAttribute("aria-label", `${description}; ${count} of ${dots.labels.length} points wrong`);
      }
    },
  };
}
