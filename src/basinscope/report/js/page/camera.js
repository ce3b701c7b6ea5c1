// One camera shared by several surfaces.

/**
 * @param {Camera} start
 * @param {(camera: Camera) => void} moved
 */
function sharedCamera(start, moved) {
  let camera = start;
  /** @type {HTMLElement[]} */
  const elements = [];
  /** The surface that the user turns; the others follow.
   *  @type {HTMLElement | null} */
  let turned = null;
  let following = false;

  async function align() {
    note("camera", camera);
    moved(camera);
    if (following) return;
    following = true;
    let last = null;
    // The camera may move again while the others are updated.
    while (last !== camera) {
      last = camera;
      const others = elements.filter((element) => element !== turned && element.matches(".js-plotly-plot"));
      await Promise.all(others.map((element) => Plotly.relayout(element, { "scene.camera": camera })));
    }
    following = false;
  }

  return {
    now: () => camera,
    /** @param {Camera} to */
    set(to) {
      camera = to;
      turned = null;
      align();
    },
    /**
     * Link a chart's camera to the shared one.
     * @param {HTMLElement} element
     */
    follow(element) {
      elements.push(element);
      element.addEventListener("pointerdown", () => (turned = element), { capture: true });
      // The wheel scrolls the page.
      element.addEventListener("wheel", (event) => event.stopImmediatePropagation(), { capture: true, passive: true });
      sideways(element, () => {
        turned = element;
        camera = /** @type {any} */ (element)._fullLayout.scene._scene.getCamera();
        align();
      });
      const changed = (/** @type {any} */ change) => {
        if (element !== turned || !change["scene.camera"]) return;
        camera = change["scene.camera"];
        align();
      };
      const listen = () => {
        for (const event of ["plotly_relayouting", "plotly_relayout"]) /** @type {any} */ (element).on(event, changed);
      };
      element.addEventListener("drawn", listen, { once: true });
    },
  };
}
