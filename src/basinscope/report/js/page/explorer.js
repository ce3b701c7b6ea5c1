// Asks a worker to evaluate networks; the newest question wins.

/** Milliseconds of quiet after which a finer picture is made. */
const QUIET_MS = 140;

/**
 * @typedef {Object} Explorer
 * @property {(spot: Spot, view: View) => void} look  Ask for a picture and the scores at a spot.
 * @property {(spot: Spot, distances: number[], samples: string) => Promise<{losses: number[], accuracies: number[]}>} line
 *
 * @typedef {Object} Looked
 * @property {Spot} spot
 * @property {Field} field
 * @property {Record<string, Score>} scores
 * @property {number} began  When the question was asked.
 * @property {boolean} fine
 */

/**
 * @param {Nets} nets
 * @param {{coarse: number, fine: number}} resolution
 * @param {(found: Looked) => void} found
 * @returns {Explorer}
 */
function explorer(nets, { coarse, fine }, found) {
  const ask = engine((reply) => receive(reply));
  ask({ kind: "nets", nets });
  let last = 0;
  let quiet = 0;
  /** @type {{spot: Spot, view: View, began: number} | null} */
  let waiting = null;
  /** @type {{id: number, spot: Spot, view: View, began: number, scores?: Record<string, Score>} | null} */
  let current = null;
  let busy = false;
  /** @type {Map<number, (found: {losses: number[], accuracies: number[]}) => void>} */
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
      found({ spot, field: reply.field, scores: current.scores ?? {}, began, fine: true });
      return;
    }
    busy = false;
    current.scores = reply.scores;
    found({ spot, field: reply.field, scores: reply.scores, began, fine: false });
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
