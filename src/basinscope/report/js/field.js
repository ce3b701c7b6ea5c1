// A decision boundary: the plane coloured by class, with samples on it.

/**
 * @typedef {Object} Dots
 * @property {ArrayLike<number>} inputs  x and y of each sample.
 * @property {ArrayLike<number>} labels
 * @property {ArrayLike<number>} [wrong]  1 for those that the network gets wrong.
 */

/**
 * @param {string} description  What is seen, for those who cannot see it.
 * @param {string} [palette]  The beginning of its colours' names.
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
    // Wrong ones last, so that none hides one.
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

/**
 * Colour the plane: the side of the boundary tells the hue, the log-odds how strong it is. Log-odds are interpolated,
 * not colours, so that a coarse grid has a smooth boundary.
 * @param {CanvasRenderingContext2D} draw
 * @param {Field} field
 * @param {number} width
 * @param {string} palette
 */
function shade(draw, { resolution, odds }, width, palette) {
  const image = draw.createImageData(width, width);
  const pixels = new Uint32Array(image.data.buffer);
  const paper = channels(colour("field"));
  // 64 steps of strength on either side, the middle where the boundary is.
  const steps = 64;
  const table = new Uint32Array(2 * steps + 1);
  const fields = [0, 1].map((side) => channels(colour(`${palette}field-${side}`)));
  for (let k = -steps; k <= steps; k++) {
    const full = fields[k < 0 ? 0 : 1];
    const strength = 0.35 + (0.65 * Math.abs(k)) / steps;
    const [r, g, b] = paper.map((v, c) => Math.round(v + strength * (full[c] - v)));
    table[k + steps] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  const [er, eg, eb] = channels(colour("boundary"));
  const edge = (255 << 24) | (eb << 16) | (eg << 8) | er;
  const last = resolution - 1;
  const scale = last / Math.max(1, width - 1);
  const low = new Int32Array(width);
  const share = new Float64Array(width);
  for (let x = 0; x < width; x++) {
    low[x] = Math.min(last - 1, Math.floor(x * scale));
    share[x] = x * scale - low[x];
  }
  const above = new Int8Array(width);
  for (let y = 0; y < width; y++) {
    // Rows of the grid go up, rows of the picture down.
    const at = (width - 1 - y) * scale;
    const row = Math.min(last - 1, Math.floor(at));
    const part = at - row;
    const lower = row * resolution;
    const upper = lower + resolution;
    let before = 0;
    for (let x = 0; x < width; x++) {
      const k = low[x];
      const s = share[x];
      const below = odds[lower + k] + s * (odds[lower + k + 1] - odds[lower + k]);
      const over = odds[upper + k] + s * (odds[upper + k + 1] - odds[upper + k]);
      const value = below + part * (over - below);
      const side = value > 0 ? 1 : -1;
      const strength = Math.abs(value);
      const tone = Math.round((steps * strength) / (strength + 1.5));
      const onEdge = (x > 0 && side !== before) || (y > 0 && side !== above[x]);
      pixels[y * width + x] = onEdge ? edge : table[steps + side * (tone || 1)];
      before = side;
      above[x] = side;
    }
  }
  return image;
}
