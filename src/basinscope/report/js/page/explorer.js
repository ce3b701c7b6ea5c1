// Evaluates networks in a worker; only the latest request is answered.

/** Milliseconds without new requests after which the picture is refined. */
const QUIET_MS = 140;

/**
 * @typedef {Object} Explorer
 * @property {(spot: Spot, view: View) => void} look  Requests a picture and the scores at a spot.
 * @property {(spot: Spot, distances: number[], samples: string) => Promise<{losses: number[], accuracies: number[]}>} line
 *
 * @typedef {Object} Looked
 * @property {Spot} spot
 * @property {Field} field
 * @property {Record<string, Score>} scores
 * @property {number} began  Time of the request.
 * @property {boolean} fine
 */

/**
 * @param {Nets} nets
 * @param {{coarse: number, fine: number}} resolution
 * @param {(view: Looked) => void} answered
 * @returns {Explorer}
 */
function explorer(nets, { coarse, fine }, answered) {
  const ask = engine((reply) => receive(reply));
  ask({ kind: "nets", nets });
  let last = 0;
  let quiet = 0;
  /** @type {{spot: Spot, view: View, began: number} | null} */
  let waiting = null;
  /** @type {{id: number, spot: Spot, view: View, began: number, scores?: Record<string, Score>} | null} */
  let current = null;
  let busy = false;
  /** @type {Map<number, (line: {losses: number[], accuracies: number[]}) => void>} */
  const lines = new Map();

  function next() {
    if (!waiting) return;
    current = { id: (last += 1), ...waiting };
    waiting = null;
    busy = true;
    ask({ kind: "look", id: current.id, spot: current.spot, view: current.view, resolution: coarse });
  }

  /** @param {Answer} reply */
  function receive(reply) {
    if (reply.kind === "line") {
      lines.get(reply.id)?.(reply);
      lines.delete(reply.id);
      return;
    }
    if (!current || reply.id !== current.id) return;
    const { spot, view, began, id } = current;
    if (reply.kind === "finer") {
      answered({ spot, field: reply.field, scores: current.scores ?? {}, began, fine: true });
      return;
    }
    busy = false;
    current.scores = reply.scores;
    answered({ spot, field: reply.field, scores: reply.scores, began, fine: false });
    if (waiting) next();
    else if (fine > coarse) {
      clearTimeout(quiet);
      quiet = setTimeout(() => ask({ kind: "finer", id, spot, view, resolution: fine }), QUIET_MS);
    }
  }

  return {
    look(spot, view) {
      clearTimeout(quiet);
      waiting = { spot, view, began: performance.now() };
      if (!busy) next();
    },
    line(spot, distances, samples) {
      const id = (last += 1);
      return new Promise((resolve) => {
        lines.set(id, resolve);
        ask({ kind: "line", id, spot, distances, samples });
      });
    },
  };
}
