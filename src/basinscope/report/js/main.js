// Brings the page to life: each part when it comes near the window.

/** @type {Map<string, Promise<Exhibit>>} */
const exhibits = new Map();

/**
 * @param {string} name
 * @returns {Promise<Exhibit>}
 */
function exhibit(name) {
  const known = exhibits.get(name);
  if (known) return known;
  const text = /** @type {HTMLElement} */ (document.getElementById(`exhibit-${name}`)).textContent ?? "";
  const found = unpack(text);
  exhibits.set(name, found);
  return found;
}

/** @param {HTMLElement} root */
async function begin(root) {
  const names = (root.dataset.exhibits ?? "").split(" ");
  try {
    const found = await Promise.all(names.map(exhibit));
    root.replaceChildren();
    PARTS[root.dataset.part ?? ""](root, Object.fromEntries(names.map((name, k) => [name, found[k]])));
    root.dataset.ready = "";
  } catch (error) {
    root.replaceChildren(
      make("p", { class: "note" }, "This part could not be shown; the printed figure below holds the same."),
    );
    console.error(error);
  }
}

/**
 * Offer the numbers behind a figure.
 * @param {HTMLElement} link
 */
async function download(link) {
  const { exhibit: name = "", result = "" } = link.dataset;
  const text = csv((await exhibit(name)).results[result]);
  note("download", { name, result, text });
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href: address, download: link.dataset.file ?? "data.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/**
 * What an address names; one that is no valid text names nothing.
 * @param {string} hash
 */
function named(hash) {
  try {
    return decodeURIComponent(hash);
  } catch {
    return "";
  }
}

/** Open what a jump leads to. */
function unfold() {
  const target = location.hash.length > 1 ? document.getElementById(named(location.hash.slice(1))) : null;
  if (!target) return;
  for (let at = /** @type {Element | null} */ (target); at; at = at.parentElement) {
    if (at instanceof HTMLDetailsElement) at.open = true;
  }
  target.scrollIntoView();
}

const roots = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-part]")]);
const starts = roots.map((root) => whenNear(root, () => begin(root)));

/** Bring the rest to life one after another while nothing else is to be done, so that it can be printed. */
async function beginAll() {
  for (const start of starts) {
    await new Promise((resolve) => setTimeout(resolve, 400));
    await start();
  }
}
addEventListener("load", () => setTimeout(beginAll, 2500));
for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("button[data-result]"))) {
  link.addEventListener("click", () => download(link));
}
addEventListener("hashchange", unfold);
// A second click on a link changes no address.
for (const link of document.querySelectorAll('a[href^="#"]'))
  link.addEventListener("click", () => setTimeout(unfold, 0));
addEventListener("beforeprint", () =>
  document.querySelectorAll("details.printed").forEach((d) => d.setAttribute("open", "")),
);
unfold();
Object.assign(globalThis, {
  basinscope: { shown, waits, engine: { shapeOf, pack, logits, randomDirection, score }, exhibit },
});
