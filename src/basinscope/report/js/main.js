// Starts the parts of the page, each when it comes near the viewport.

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
  const unpacked = unpack(text);
  exhibits.set(name, unpacked);
  return unpacked;
}

/** @param {HTMLElement} root */
async function begin(root) {
  const names = (root.dataset.exhibits ?? "").split(" ");
  try {
    const loaded = await Promise.all(names.map(exhibit));
    root.replaceChildren();
    PARTS[root.dataset.part ?? ""](root, Object.fromEntries(names.map((name, k) => [name, loaded[k]])));
    root.dataset.ready = "";
  } catch (error) {
    root.replaceChildren(
      make("p", { class: "note" }, "This part could not be displayed; the figures for print show the same results."),
    );
    console.error(error);
  }
}

/**
 * Download the numbers behind a figure as CSV.
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
 * Decode the fragment of a URL; an invalid one gives an empty string.
 * @param {string} hash
 */
function named(hash) {
  try {
    return decodeURIComponent(hash);
  } catch {
    return "";
  }
}

/** Unfold and show the target of the URL's fragment. */
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

/** Start the remaining parts one by one in idle time, so that the whole page can be printed. */
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
// A second click on a link does not fire hashchange.
for (const link of document.querySelectorAll('a[href^="#"]'))
  link.addEventListener("click", () => setTimeout(unfold, 0));
addEventListener("beforeprint", () =>
  document.querySelectorAll("details.printed").forEach((d) => d.setAttribute("open", "")),
);
unfold();
Object.assign(globalThis, {
  basinscope: { shown, waits, engine: { shapeOf, pack, logits, randomDirection, score }, exhibit },
});
