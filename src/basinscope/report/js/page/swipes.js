// Touch gestures on a chart.

/**
 * Let vertical swipes scroll the page; pass horizontal ones to the chart and call back.
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
