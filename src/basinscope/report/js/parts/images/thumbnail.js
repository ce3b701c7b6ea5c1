// Draws images as thumbnails.

/**
 * Draw one image on a canvas.
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
