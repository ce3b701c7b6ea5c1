// The band around the cutoff's line that is dragged: the chart beside it can be pointed at, and a page scrolled.

/**
 * @param {ReturnType<typeof chart>} lines
 * @param {() => {cutoff: number, bottom: number, top: number}} held
 * @param {(cutoff: number) => void} dragged
 * @returns {HTMLElement} What holds both.
 */
function cutoffHandle(lines, held, dragged) {
  const handle = make("div", { class: "handle", title: "drag the cutoff" });
  const holder = make("div", { class: "covered" }, lines.element, handle);
  const height = () => lines.element.clientHeight - MARGIN.t - MARGIN.b;
  handle.addEventListener("pointerdown", (event) => handle.setPointerCapture(event.pointerId));
  handle.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    const { bottom, top } = held();
    const y = (event.clientY - holder.getBoundingClientRect().top - MARGIN.t) / height();
    dragged(10 ** (Math.log10(top) - y * (Math.log10(top) - Math.log10(bottom))));
  });
  lines.element.addEventListener("drawn", () => {
    const { cutoff, bottom, top } = held();
    const share = (Math.log10(top) - Math.log10(cutoff)) / (Math.log10(top) - Math.log10(bottom));
    handle.style.top = `${MARGIN.t + share * height()}px`;
  });
  return holder;
}
