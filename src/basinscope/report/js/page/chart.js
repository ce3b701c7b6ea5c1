// Plotly charts in the page's style.

/** @type {Promise<void> | null} */
let library = null;

/** Load plotly, which is stored compressed in the page. */
function loadPlotly() {
  library ??= (async () => {
    const packed = /** @type {HTMLElement} */ (document.getElementById("plotly")).textContent ?? "";
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(await inflate(packed));
    document.head.append(script);
  })();
  return library;
}

/**
 * @typedef {() => {data: any[], layout?: any}} Drawing
 */

/**
 * Create a chart that adapts to its element's size and to the page's colours.
 * @param {string} description  Text alternative for screen readers.
 * @param {Drawing} drawing  Returns traces and layout; called at every redraw.
 * @param {{height?: number, config?: any}} [how]
 */
function chart(description, drawing, { height = 300, config = {} } = {}) {
  const element = make("div", { class: "chart", role: "img", "aria-label": description });
  element.style.height = `min(${height}px, 85vw)`;
  let drawn = false;
  let wanted = false;

  async function draw() {
    // Several changes before the next draw need only one.
    if (wanted) return;
    wanted = true;
    await loadPlotly();
    wanted = false;
    if (!element.isConnected || !element.clientWidth) return;
    const { data, layout = {} } = drawing();
    const common = {
      margin: MARGIN,
      height: element.clientHeight,
      width: element.clientWidth,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: AXIS_FONT, color: colour("ink") },
      showlegend: false,
      hoverlabel: { bgcolor: colour("paper"), bordercolor: colour("soft"), font: { color: colour("ink"), size: 13 } },
      dragmode: false,
    };
    await Plotly.react(
      element,
      data,
      { ...common, ...layout },
      { displayModeBar: false, doubleClick: false, ...config },
    );
    drawn = true;
    element.dispatchEvent(new CustomEvent("drawn"));
  }

  new ResizeObserver(() => draw()).observe(element);
  onLook(draw);
  return {
    element,
    draw,
    /**
     * Change some properties of one trace; faster than a redraw.
     * @param {number} trace
     * @param {Record<string, any>} change
     */
    move(trace, change) {
      if (drawn) Plotly.restyle(element, change, [trace]);
    },
  };
}

/**
 * Cover a chart's plotting area to track the pointer, in fractions of width and height from the top left.
 * @param {HTMLElement} element  The chart's element.
 * @param {(x: number, y: number, how: Pointing) => void} moved
 * @param {{l: number, r: number, t: number, b: number}} margin
 * @returns {HTMLElement} Container of chart and cover.
 */
function overPlane(element, moved, margin) {
  const cover = make("div", { class: "cover" });
  Object.assign(cover.style, {
    left: `${margin.l}px`,
    right: `${margin.r}px`,
    top: `${margin.t}px`,
    bottom: `${margin.b}px`,
  });
  pointing(cover, moved);
  return make("div", { class: "covered" }, element, cover);
}
