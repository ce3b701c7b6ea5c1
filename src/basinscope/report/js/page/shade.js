// Colours the plane by a network's log-odds.

/**
 * Colour the plane: hue by class, strength by the size of the log-odds. Log-odds are interpolated instead of colours, so
 * that a coarse grid has a smooth boundary.
 * @param {CanvasRenderingContext2D} draw
 * @param {Field} field
 * @param {number} width
 * @param {string} palette
 */
function shade(draw, { resolution, odds }, width, palette) {
  const image = draw.createImageData(width, width);
  const pixels = new Uint32Array(image.data.buffer);
  const paper = channels(colour("field"));
  // 64 steps of strength for each class.
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
    // Rows of the grid run upwards, rows of the picture downwards.
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
