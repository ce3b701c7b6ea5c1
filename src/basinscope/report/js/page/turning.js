// Surfaces that turn together.

/**
 * @typedef {Object} Drawn
 * @property {number[]} x
 * @property {number[]} y
 * @property {(number | null)[][]} z  Heights, rows along y.
 * @property {number[][]} losses  Losses for the hover text, in the same order.
 * @property {number} low  Ends of the common scale.
 * @property {number} high
 * @property {string} height  Title of the vertical axis.
 *
 * @typedef {{eye: {x: number, y: number, z: number}, center: {x: number, y: number, z: number}}} Camera
 */

/**
 * Trace and layout of a surface seen by a camera.
 * @param {Drawn} drawn
 * @param {Camera} camera
 */
function surface({ x, y, z, losses, low, high, height }, camera) {
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
        // A flat surface exactly at the axis limit would flicker.
        zaxis: { ...grid, title: titled(height), range: [low - 0.03 * (high - low), high], nticks: 6 },
        aspectmode: "manual",
        aspectratio: { x: 1.1, y: 1.1, z: 0.9 },
        camera,
      },
    },
  };
}

/**
 * Surfaces with a common camera: dragging one turns all.
 * @param {string[]} descriptions  Text alternative of each, for screen readers.
 * @param {(index: number) => Drawn} surfaceOf
 */
function turningTogether(descriptions, surfaceOf) {
  const start = { eye: { x: 1.3, y: 1.3, z: 0.8 }, center: { x: 0, y: 0, z: -0.18 } };
  const cameras = sharedCamera(start, (camera) => showTurn(camera));
  const charts = descriptions.map((description, index) =>
    chart(`${description}; drag to turn`, () => surface(surfaceOf(index), cameras.now()), {
      height: 400,
      config: { scrollZoom: false },
    }),
  );
  const elements = charts.map(({ element }) => element);
  for (const element of elements) {
    element.classList.add("turning");
    cameras.follow(element);
  }
  const turn = slider({ label: "Turn", min: 0, max: 360, step: 2, value: 45 }, (degrees) => {
    const camera = cameras.now();
    const reach = Math.hypot(camera.eye.x, camera.eye.y);
    const angle = (degrees * Math.PI) / 180;
    const eye = { x: reach * Math.cos(angle), y: reach * Math.sin(angle), z: camera.eye.z };
    cameras.set({ ...camera, eye });
  });
  /** @param {Camera} camera */
  function showTurn({ eye }) {
    const degrees = (Math.round((Math.atan2(eye.y, eye.x) * 180) / Math.PI) + 360) % 360;
    turn.input.value = String(degrees);
    turn.update(`${degrees}°`);
  }
  showTurn(start);
  return { elements, turn: turn.element, draw: () => charts.forEach(({ draw }) => draw()) };
}
