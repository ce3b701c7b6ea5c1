// Chart of the share of circles by gap, and thumbnails of all starts.

/**
 * @param {number[][][]} shares  Of random starts, and of networks led by closing the gap.
 * @param {number} gap  The selected gap.
 */
function ringsChart([random, led], gap) {
  const lines = [
    { of: random, hue: "scaled", text: "random starts", symbol: "circle" },
    { of: led, hue: "trained", text: "led by closing the gap", symbol: "square" },
  ];
  const line = { color: colour("soft"), width: 1.5, dash: "dot" };
  return {
    data: lines.map(({ of, hue, text, symbol }) => ({
      x: of.map((p) => p[0]),
      y: of.map((p) => p[1]),
      mode: "lines+markers",
      line: { color: colour(hue), width: 2 },
      marker: { symbol, size: 8 },
      hovertemplate: `${text}, gap %{x:.3g}: %{y:.0%}<extra></extra>`,
    })),
    layout: {
      xaxis: logAxis("gap between the inner rings", { autorange: "reversed" }),
      yaxis: axis("networks that found the circle", { range: [-0.05, 1.05], tickformat: ".0%" }),
      shapes: [{ type: "line", yref: "paper", y0: 0, y1: 1, x0: gap, x1: gap, line }],
    },
  };
}

/**
 * A button with the picture of a random start.
 * @param {RingsData} data
 * @param {string} name
 * @param {number} number
 * @param {boolean} pressed
 * @param {(button: HTMLElement) => void} chosen
 */
function ringsThumb({ names, holds, pictureOf }, name, number, pressed, chosen) {
  const canvas = make("canvas", { width: 96, height: 96 });
  const draw = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const isCircle = Boolean(holds[names.indexOf(name)]);
  const one = button("", () => chosen(one));
  one.append(canvas);
  one.setAttribute("aria-label", `start ${number}, ${isCircle ? "circle" : "no circle"}`);
  one.setAttribute("aria-pressed", String(pressed));
  one.classList.toggle("circle", isCircle);
  draw.putImageData(shade(draw, pictureOf(name), 96, "rings-"), 0, 0);
  return one;
}
