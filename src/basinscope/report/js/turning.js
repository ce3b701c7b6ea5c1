// Surfaces that turn together.

/**
 * @typedef {Object} Drawn
 * @property {number[]} x
 * @property {number[]} y
 * @property {(number | null)[][]} z  Heights, rows along y.
 * @property {number[][]} losses  What is told of each place, in the same order.
 * @property {number} low  One scale for all.
 * @property {number} high
 * @property {string} height  What the heights are.
 */

/**
 * Surfaces with one camera: what turns one turns the others, while it is dragged.
 * @param {string[]} descriptions  What is seen on each, for those who cannot see it.
 * @param {(index: number) => Drawn} surfaceOf
 */
function turningTogether(descriptions, surfaceOf) {
  let camera = { eye: { x: 1.3, y: 1.3, z: 0.8 }, center: { x: 0, y: 0, z: -0.18 } };
  const charts = descriptions.map((description, index) =>
    chart(
      `${description}; drag to turn`,
      () => {
        const { x, y, z, losses, low, high, height } = surfaceOf(index);
        const grid = {
          color: colour("soft"),
          gridcolor: colour("line"),
          showbackground: false,
          tickfont: { size: 10 },
          nticks: 5,
        };
        const titled = (/** @type {string} */ text) => ({ text, font: { size: 11 } });
        return {
          data: [
            {
              type: "surface",
              x,
              y,
              z,
              cmin: low,
              cmax: high,
              colorscale: "Viridis",
              showscale: false,
              customdata: losses,
              hovertemplate: "loss %{customdata:.3g}<extra></extra>",
            },
          ],
          layout: {
            margin: { l: 0, r: 0, t: 0, b: 0 },
            dragmode: "turntable",
            scene: {
              xaxis: { ...grid, title: titled("direction 1") },
              yaxis: { ...grid, title: titled("direction 2") },
              // A floor at the frame's height would flicker through it.
              zaxis: { ...grid, title: titled(height), range: [low - 0.03 * (high - low), high], nticks: 6 },
              aspectmode: "manual",
              aspectratio: { x: 1.1, y: 1.1, z: 0.9 },
              camera,
            },
          },
        };
      },
      { height: 400, config: { scrollZoom: false } },
    ),
  );
  const elements = charts.map(({ element }) => element);
  /** The surface that the reader turns; the others follow.
   *  @type {HTMLElement | null} */
  let turned = null;
  let following = false;
  async function follow() {
    note("camera", camera);
    tellTurn();
    if (following) return;
    following = true;
    let last = null;
    // While one turns the others, it may turn on.
    while (last !== camera) {
      last = camera;
      const others = elements.filter((element) => element !== turned && element.matches(".js-plotly-plot"));
      await Promise.all(others.map((element) => Plotly.relayout(element, { "scene.camera": camera })));
    }
    following = false;
  }
  for (const element of elements) {
    element.addEventListener("pointerdown", () => (turned = element), { capture: true });
    // The wheel scrolls the page.
    element.addEventListener("wheel", (event) => event.stopImmediatePropagation(), { capture: true, passive: true });
    sideways(element, () => {
      turned = element;
      camera = /** @type {any} */ (element)._fullLayout.scene._scene.getCamera();
      follow();
    });
    element.addEventListener(
      "drawn",
      () => {
        for (const event of ["plotly_relayouting", "plotly_relayout"]) {
          /** @type {any} */ (element).on(event, (/** @type {any} */ change) => {
            if (element !== turned || !change["scene.camera"]) return;
            camera = change["scene.camera"];
            follow();
          });
        }
      },
      { once: true },
    );
  }
  const turn = slider({ label: "Turn", min: 0, max: 360, step: 2, value: 45 }, (degrees) => {
    const { x, y, z } = camera.eye;
    const reach = Math.hypot(x, y);
    const angle = (degrees * Math.PI) / 180;
    camera = { ...camera, eye: { x: reach * Math.cos(angle), y: reach * Math.sin(angle), z } };
    turned = null;
    follow();
  });
  function tellTurn() {
    const degrees = (Math.round((Math.atan2(camera.eye.y, camera.eye.x) * 180) / Math.PI) + 360) % 360;
    turn.input.value = String(degrees);
    turn.tell(`${degrees}°`);
  }
  tellTurn();
  return { elements, turn: turn.element, draw: () => charts.forEach(({ draw }) => draw()) };
}

/**
 * @param {number[][]} rows
 */
function transposed(rows) {
  return rows[0].map((_, k) => rows.map((line) => line[k]));
}

/**
 * Let fingers that go up or down scroll the page; those that go sideways are left to the chart, and told of.
 * @param {HTMLElement} element
 * @param {() => void} moved
 */
function sideways(element, moved) {
  let [x, y] = [0, 0];
  /** @type {"" | "along" | "across"} */
  let way = "";
  const begin = (/** @type {TouchEvent} */ event) => {
    [x, y] = [event.touches[0].clientX, event.touches[0].clientY];
    way = "";
  };
  const move = (/** @type {TouchEvent} */ event) => {
    const [dx, dy] = [event.touches[0].clientX - x, event.touches[0].clientY - y];
    if (!way && Math.hypot(dx, dy) > 4)
      way = Math.abs(dy) > Math.abs(dx) && event.touches.length === 1 ? "along" : "across";
    if (way === "across") setTimeout(moved, 0);
    else event.stopImmediatePropagation();
  };
  element.addEventListener("touchstart", begin, { capture: true, passive: true });
  element.addEventListener("touchmove", move, { capture: true, passive: true });
  element.addEventListener("touchend", () => way === "across" && setTimeout(moved, 0));
}
