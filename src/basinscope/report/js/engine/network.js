// Fully connected ReLU networks, evaluated in double precision.

/**
 * @typedef {Object} Layer
 * @property {number} fanIn
 * @property {number} fanOut
 * @property {number} weight  Index of the first weight in a flat parameter vector.
 * @property {number} bias  Index of the first bias.
 * @property {number} packed  Index of the layer in a packed parameter vector.
 *
 * @typedef {Object} Shape
 * @property {number[]} widths  Units of each layer, inputs first.
 * @property {Layer[]} layers
 * @property {number} size  Parameters.
 * @property {number} packedSize  Entries of a packed parameter vector.
 *
 * @typedef {Float32Array | Float64Array} Floats
 */

/** Samples evaluated together; their activations fit the L1 cache. */
const BLOCK = 32;

/**
 * Lay out the parameters of a network: weights (outputs × inputs), then biases, layer after layer.
 * @param {number[]} widths
 * @returns {Shape}
 */
function shapeOf(widths) {
  /** @type {Layer[]} */
  const layers = [];
  let size = 0;
  let packedSize = 0;
  for (let k = 0; k + 1 < widths.length; k++) {
    const fanIn = widths[k];
    const fanOut = widths[k + 1];
    layers.push({ fanIn, fanOut, weight: size, bias: size + fanIn * fanOut, packed: packedSize });
    size += (fanIn + 1) * fanOut;
    packedSize += Math.ceil(fanOut / 4) * 4 * (fanIn + 1);
  }
  return { widths, layers, size, packedSize };
}

/**
 * Pack `center + distance · direction` in the order in which `logits` reads it: outputs in groups of four, each group's
 * biases first.
 * @param {Shape} shape
 * @param {Floats} center
 * @param {Floats | null} direction
 * @param {number} distance
 * @returns {Float64Array}
 */
function pack(shape, center, direction, distance) {
  const packed = new Float64Array(shape.packedSize);
  const moved = (/** @type {number} */ k) => (direction ? center[k] + distance * direction[k] : center[k]);
  for (const { fanIn, fanOut, weight, bias, packed: begin } of shape.layers) {
    for (let output = 0; output < fanOut; output++) {
      const at = begin + (output - (output % 4)) * (fanIn + 1) + (output % 4);
      packed[at] = moved(bias + output);
      for (let input = 0; input < fanIn; input++) packed[at + 4 * (input + 1)] = moved(weight + output * fanIn + input);
    }
  }
  return packed;
}

/**
 * Evaluate a packed network.
 * @param {Shape} shape
 * @param {Float64Array} packed
 * @param {Floats} inputs  Samples × features, flat.
 * @returns {Float64Array} Log-odds of class 1 of each sample.
 */
function logits(shape, packed, inputs) {
  const { widths, layers } = shape;
  const features = widths[0];
  const count = inputs.length / features;
  const widest = Math.ceil(Math.max(...widths) / 4) * 4;
  let from = new Float64Array(widest * BLOCK);
  let to = new Float64Array(widest * BLOCK);
  const odds = new Float64Array(count);
  for (let first = 0; first < count; first += BLOCK) {
    const num = Math.min(BLOCK, count - first);
    for (let s = 0; s < num; s++) {
      for (let f = 0; f < features; f++) from[f * BLOCK + s] = inputs[(first + s) * features + f];
    }
    const tiles = Math.ceil(num / 4) * 4;
    for (let k = 0; k < layers.length; k++) {
      forward(layers[k], packed, from, to, tiles, k + 1 < layers.length);
      [from, to] = [to, from];
    }
    const two = widths[widths.length - 1] === 2;
    for (let s = 0; s < num; s++) odds[first + s] = two ? from[BLOCK + s] - from[s] : from[s];
  }
  return odds;
}

/**
 * One layer for a block of samples, four outputs by four samples at a time so that sums stay in registers.
 * @param {Layer} layer
 * @param {Float64Array} packed
 * @param {Float64Array} from  Units × samples.
 * @param {Float64Array} to
 * @param {number} samples  A multiple of 4.
 * @param {boolean} relu
 */
function forward({ fanIn, fanOut, packed: begin }, packed, from, to, samples, relu) {
  for (let output = 0; output < fanOut; output += 4) {
    const group = begin + output * (fanIn + 1);
    for (let s = 0; s < samples; s += 4) {
      let w0 = packed[group];
      let w1 = packed[group + 1];
      let w2 = packed[group + 2];
      let w3 = packed[group + 3];
      let a0 = w0, a1 = w0, a2 = w0, a3 = w0;
      let b0 = w1, b1 = w1, b2 = w1, b3 = w1;
      let c0 = w2, c1 = w2, c2 = w2, c3 = w2;
      let d0 = w3, d1 = w3, d2 = w3, d3 = w3;
      for (let input = 0, w = group + 4, h = s; input < fanIn; input++, w += 4, h += BLOCK) {
        w0 = packed[w];
        w1 = packed[w + 1];
        w2 = packed[w + 2];
        w3 = packed[w + 3];
        const h0 = from[h];
        const h1 = from[h + 1];
        const h2 = from[h + 2];
        const h3 = from[h + 3];
        a0 += w0 * h0; a1 += w0 * h1; a2 += w0 * h2; a3 += w0 * h3;
        b0 += w1 * h0; b1 += w1 * h1; b2 += w1 * h2; b3 += w1 * h3;
        c0 += w2 * h0; c1 += w2 * h1; c2 += w2 * h2; c3 += w2 * h3;
        d0 += w3 * h0; d1 += w3 * h1; d2 += w3 * h2; d3 += w3 * h3;
      }
      if (relu) {
        a0 = a0 > 0 ? a0 : 0; a1 = a1 > 0 ? a1 : 0; a2 = a2 > 0 ? a2 : 0; a3 = a3 > 0 ? a3 : 0;
        b0 = b0 > 0 ? b0 : 0; b1 = b1 > 0 ? b1 : 0; b2 = b2 > 0 ? b2 : 0; b3 = b3 > 0 ? b3 : 0;
        c0 = c0 > 0 ? c0 : 0; c1 = c1 > 0 ? c1 : 0; c2 = c2 > 0 ? c2 : 0; c3 = c3 > 0 ? c3 : 0;
        d0 = d0 > 0 ? d0 : 0; d1 = d1 > 0 ? d1 : 0; d2 = d2 > 0 ? d2 : 0; d3 = d3 > 0 ? d3 : 0;
      }
      let t = output * BLOCK + s;
      to[t] = a0; to[t + 1] = a1; to[t + 2] = a2; to[t + 3] = a3;
      t += BLOCK;
      to[t] = b0; to[t + 1] = b1; to[t + 2] = b2; to[t + 3] = b3;
      t += BLOCK;
      to[t] = c0; to[t + 1] = c1; to[t + 2] = c2; to[t + 3] = c3;
      t += BLOCK;
      to[t] = d0; to[t + 1] = d1; to[t + 2] = d2; to[t + 3] = d3;
    }
  }
}
