// Starts workers.

/**
 * Start a worker, or do its work in the page where none can be started.
 * @param {(reply: Answer) => void} receive
 * @returns {(request: Question) => void}
 */
function engine(receive) {
  const source = /** @type {HTMLElement} */ (document.getElementById("engine")).textContent ?? "";
  /** @type {Question[]} */
  const asked = [];
  /** @type {(request: Question) => void} */
  let send;
  const here = () => {
    const handle = makeEngine((reply) => queueMicrotask(() => receive(reply)));
    send = (request) => setTimeout(() => handle(request), 0);
    asked.forEach(send);
  };
  try {
    const begin =
      "const handle = makeEngine((reply) => postMessage(reply)); onmessage = (event) => handle(event.data);";
    const worker = new Worker(URL.createObjectURL(new Blob([source, begin], { type: "text/javascript" })));
    worker.onmessage = (event) => {
      asked.length = 0;
      worker.onerror = null;
      receive(event.data);
    };
    worker.onerror = here;
    send = (request) => {
      asked.push(request);
      worker.postMessage(request);
    };
  } catch {
    here();
  }
  return (request) => send(request);
}
