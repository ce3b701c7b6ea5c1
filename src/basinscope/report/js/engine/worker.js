// Evaluates networks at points around them: runs in a worker, or in the page if workers are unavailable.

/**
 * @typedef {{inputs: Floats, labels: ArrayLike<number>}} Samples
 *
 * @typedef {Object} Nets
 * @property {number[]} widths
 * @property {Floats} weights  Networks × parameters, flat.
 * @property {Record<string, Samples>} samples  Sets on which loss and accuracy are computed, by name.
 *
 * @typedef {{kind: "none"} | {kind: "random", seed: number} | {kind: "given", values: Floats}} Way
 *
 * @typedef {Object} Spot  A point in the space of parameters.
 * @property {number} net
 * @property {Way} way
 * @property {number} distance
 *
 * @typedef {{left: number, right: number, bottom: number, top: number}} View
 *
 * @typedef {{kind: "nets", nets: Nets}
 *   | {kind: "look", id: number, spot: Spot, view: View, resolution: number}
 *   | {kind: "finer", id: number, spot: Spot, view: View, resolution: number}
 *   | {kind: "line", id: number, spot: Spot, distances: number[], samples: string}
 * } Question
 *
 * @typedef {{loss: number, accuracy: number, wrong: Uint8Array}} Score
 * @typedef {{resolution: number, view: View, odds: Float32Array}} Field  Log-odds of class 1, rows from the bottom up.
 *
 * @typedef {{kind: "look", id: number, field: Field, scores: Record<string, Score>}
 *   | {kind: "finer", id: number, field: Field}
 *   | {kind: "line", id: number, losses: number[], accuracies: number[]}} Answer
 */

/** Milliseconds after which refining pauses to let newer requests through. */
const STRIP_MS = 12;

/**
 * Grid points of some rows over a view, from the bottom up.
 * @param {View} view
 * @param {number} resolution
 * @param {number} first
 * @param {number} last
 */
function gridPoints({ left, right, bottom, top }, resolution, first, last) {
  const points = new Float64Array(2 * resolution * (last - first));
  for (let row = first, k = 0; row < last; row++) {
    const y = bottom + ((top - bottom) * row) / (resolution - 1);
    for (let column = 0; column < resolution; column++) {
      points[k++] = left + ((right - left) * column) / (resolution - 1);
      points[k++] = y;
    }
  }
  return points;
}

/**
 * Create the request handler; a newer request cancels unfinished refining.
 * @param {(reply: Answer) => void} answer
 * @returns {(request: Question) => void}
 */
function makeEngine(answer) {
  /** @type {Nets} */
  let nets = { widths: [], weights: new Float32Array(0), samples: {} };
  let shape = shapeOf([]);
  let newest = 0;
  /** @type {{net: number, seed: number, values: Float64Array} | null} */
  let drawn = null;

  /** @param {number} net */
  const center = (net) => nets.weights.subarray(net * shape.size, (net + 1) * shape.size);

  /**
   * @param {Spot} spot
   * @returns {Floats | null}
   */
  function direction({ net, way }) {
    if (way.kind === "none") return null;
    if (way.kind === "given") return way.values;
    if (!drawn || drawn.net !== net || drawn.seed !== way.seed) {
      drawn = { net, seed: way.seed, values: randomDirection(shape, center(net), way.seed) };
    }
    return drawn.values;
  }

  /**
   * @param {Spot} spot
   * @param {number} [distance]
   */
  const packedAt = (spot, distance = spot.distance) => pack(shape, center(spot.net), direction(spot), distance);

  /** @param {Extract<Question, {kind: "look"}>} request */
  function look({ id, spot, view, resolution }) {
    const packed = packedAt(spot);
    const odds = Float32Array.from(logits(shape, packed, gridPoints(view, resolution, 0, resolution)));
    /** @type {Record<string, Score>} */
    const scores = {};
    for (const [name, { inputs, labels }] of Object.entries(nets.samples)) {
      scores[name] = score(logits(shape, packed, inputs), labels);
    }
    answer({ kind: "look", id, field: { resolution, view, odds }, scores });
  }

  /** @param {Extract<Question, {kind: "finer"}>} request */
  function finer({ id, spot, view, resolution }) {
    const packed = packedAt(spot);
    const odds = new Float32Array(resolution ** 2);
    let row = 0;
    const strip = () => {
      if (id !== newest) return;
      const end = performance.now() + STRIP_MS;
      while (row < resolution && performance.now() < end) {
        odds.set(logits(shape, packed, gridPoints(view, resolution, row, row + 1)), row * resolution);
        row += 1;
      }
      if (row < resolution) setTimeout(strip, 0);
      else answer({ kind: "finer", id, field: { resolution, view, odds } });
    };
    strip();
  }

  /** @param {Extract<Question, {kind: "line"}>} request */
  function line({ id, spot, distances, samples }) {
    const { inputs, labels } = nets.samples[samples];
    const scores = distances.map((distance) => score(logits(shape, packedAt(spot, distance), inputs), labels));
    answer({ kind: "line", id, losses: scores.map((s) => s.loss), accuracies: scores.map((s) => s.accuracy) });
  }

  return (request) => {
    if (request.kind === "nets") {
      nets = request.nets;
      shape = shapeOf(nets.widths);
      return;
    }
    if (request.kind !== "line") newest = request.id;
    if (request.kind === "look") look(request);
    else if (request.kind === "finer") finer(request);
    else line(request);
  };
}
