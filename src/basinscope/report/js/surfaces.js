// The loss on a plane through each minimum, as surfaces that turn together.

/**
 * @param {HTMLElement} root
 * @param {Record<string, Exhibit>} exhibits
 */
function surfaces(root, exhibits) {
  /** @type {[string, string, string, string][]} */
  const known = [];
  if (exhibits.swissroll) {
    known.push(
      ["swissroll", "slice", "wide", "swiss roll"],
      ["swissroll", "middle", "close", "swiss roll, the middle"],
    );
  }
  if (exhibits.svhn) known.push(["svhn", "slice", "images", "images"]);
  let which = known[0];
  /** @type {"log" | "linear"} */
  let scale = "log";
  let camera = { eye: { x: 1.3, y: 1.3, z: 0.8 }, center: { x: 0, y: 0, z: -0.18 } };

  const held = () => {
    const { facts, results } = exhibits[which[0]];
    const result = results[which[1]];
    const names = words(result, "net");
    const size = result.loss.shape[2];
    const losses = ["good", "bad"].map((role) => rowsOf(row(result.loss, names.indexOf(facts[role])), size));
    return { facts, result, losses };
  };
  const height = (/** @type {number} */ loss, /** @type {number} */ floor) =>
    Number.isFinite(loss) ? (scale === "log" ? Math.log10(Math.max(loss, floor)) : loss) : null;
  /** One scale for both surfaces. */
  function limits() {
    const { facts, losses } = held();
    const all = losses.flat(2).filter(Number.isFinite);
    const top = all.reduce((a, b) => Math.max(a, b), facts.floor);
    return scale === "log" ? [Math.log10(facts.floor), Math.ceil(Math.log10(top))] : [0, top];
  }
  const sides = ["good", "bad"].map((role, k) => {
    const drawn = chart(
      `Loss around the ${role} minimum as a surface; drag to turn`,
      () => {
        const { facts, result, losses } = held();
        const [low, high] = limits();
        const z = transposed(losses[k]).map((line) => line.map((loss) => height(loss, facts.floor)));
        note(`surface-${role}`, { which: which[2], scale, low, high, z });
        const grid = {
          color: colour("soft"),
          gridcolor: colour("line"),
          showbackground: false,
          tickfont: { size: 10 },
        };
        return {
          data: [
            {
              type: "surface",
              x: [...numbers(result, "first")],
              y: [...numbers(result, "second")],
              z,
              cmin: low,
              cmax: high,
              colorscale: "Viridis",
              showscale: false,
              customdata: transposed(losses[k]),
              hovertemplate: "loss %{customdata:.3g} nat<extra></extra>",
            },
          ],
          layout: {
            margin: { l: 0, r: 0, t: 0, b: 0 },
            dragmode: "turntable",
            scene: {
              xaxis: { ...grid, title: { text: "direction 1", font: { size: 11 } }, nticks: 5 },
              yaxis: { ...grid, title: { text: "direction 2", font: { size: 11 } }, nticks: 5 },
              zaxis: {
                ...grid,
                title: { text: scale === "log" ? "log₁₀ loss" : "loss [nat]", font: { size: 11 } },
                // A floor at the frame's height would flicker through it.
                range: [low - 0.03 * (high - low), high],
                nticks: 6,
              },
              aspectmode: "manual",
              aspectratio: { x: 1.1, y: 1.1, z: 0.9 },
              camera,
            },
          },
        };
      },
      { height: 400, config: { scrollZoom: false } },
    );
    return { role, drawn };
  });
  /** The surface that the reader turns; the other one follows.
   *  @type {HTMLElement | null} */
  let turned = null;
  let following = false;
  async function follow() {
    note("camera", camera);
    tellTurn();
    if (following) return;
    following = true;
    let last = null;
    // While one turns the other, it may turn on.
    while (last !== camera) {
      last = camera;
      const others = sides.map((side) => side.drawn.element).filter((element) => element !== turned);
      await Promise.all(others.map((element) => Plotly.relayout(element, { "scene.camera": camera })));
    }
    following = false;
  }
  for (const { drawn } of sides) {
    const { element } = drawn;
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
  const draw = () => sides.forEach((side) => side.drawn.draw());
  const data = choice(
    "Loss of",
    known.map((k) => [k[2], k[3]]),
    which[2],
    (to) => {
      which = known.filter((k) => k[2] === to)[0];
      draw();
    },
  );
  const how = choice(
    "Height",
    [
      ["log", "log"],
      ["linear", "linear"],
    ],
    "log",
    (to) => {
      scale = to;
      draw();
    },
  );
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
  root.append(
    make("div", { class: "controls" }, data.element, how.element, turn.element),
    make(
      "div",
      { class: "pair" },
      ...sides.map(({ role, drawn }) => {
        const head = make("h4", {}, `${role} minimum`);
        head.style.color = `var(--${role})`;
        return make("div", {}, head, drawn.element);
      }),
    ),
    make(
      "p",
      { class: "note" },
      "Floors in filter norms along two random directions; one scale of heights and colours for both.",
    ),
  );
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
