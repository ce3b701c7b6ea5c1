// Draggable band around the cutoff line; outside it, the chart keeps hover and scrolling.

/**
 * @param {ReturnType<typeof chart>} lines
 * @param {() => {cutoff: number, bottom: number, top: number}} state
 * @param {(cutoff: number) => void} dragged
 * @returns {HTMLElement} Container of chart and handle.
 */
function cutoffHandle(lines, state, dragged) {
  const handle = make("div", { class: "handle", title: "drag to move the cutoff" });
  const holder = make("div", { class: "covered" }, lines.element, handle);
  const height = () => lines.element.clientHeight - MARGIN.t - MARGIN.b;
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    const { bottom, top } = state();
    const y = (event.clientY - holder.getBoundingClientRect().top - MARGIN.t) / height();
    dragged(10 ** (Math.log10(top) - y * (Math.log10(top) - Math.log10(bottom))));
  });
  lines.element.addEventListener("drawn", () => {
    const { cutoff, bottom, top } = state();
    const share = (Math.log10(top) - Math.log10(cutoff)) / (Math.log10(top) - Math.log10(bottom));
    handle.style.top = `${MARGIN.t + share * height()}px`;
  });
  return holder;
}
