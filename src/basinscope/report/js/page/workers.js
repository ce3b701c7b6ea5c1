// Starts workers that evaluate networks.

/**
 * Start a worker; if that fails, evaluate in the page itself.
 * @param {(reply: Answer) => void} receive
 * @returns {(request: Question) => void}
 */
function engine(receive) {
  const source = /** @type {HTMLElement} */ (document.getElementById("engine")).textContent ?? "";
  /** @type {Question[]} */
  const pending = [];
  /** @type {(request: Question) => void} */
  let send;
  const here = () => {
    const handle = makeEngine((reply) => queueMicrotask(() => receive(reply)));
    send = (request) => setTimeout(() => handle(request), 0);
    pending.forEach(send);
  };
  try {
    const begin =
      "const handle = makeEngine((reply) => postMessage(reply)); onmessage = (event) => handle(event.data);";
    const worker = new Worker(URL.createObjectURL(new Blob([source, begin], { type: "text/javascript" })));
    worker.onmessage = (event) => {
      pending.length = 0;
      worker.onerror = null;
      receive(event.data);
    };
    worker.onerror = here;
    send = (request) => {
      pending.push(request);
      worker.postMessage(request);
    };
  } catch {
    here();
  }
  return (request) => send(request);
}
