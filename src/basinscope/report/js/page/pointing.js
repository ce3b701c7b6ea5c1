// Where a pointer is on an element.

/**
 * What a pointer does: it hovers, is pressed, or moves while it is.
 * @typedef {"hovers" | "pressed" | "drags"} Pointing
 */

/**
 * Where the pointer is on an element, in shares of width and height from the top left corner.
 * @param {HTMLElement} element
 * @param {(x: number, y: number, how: Pointing) => void} moved
 */
function pointing(element, moved) {
  const tell = (/** @type {PointerEvent} */ event, /** @type {Pointing} */ how) => {
    const box = element.getBoundingClientRect();
    moved((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, how);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    tell(event, "pressed");
  });
  element.addEventListener("pointermove", (event) => tell(event, event.buttons ? "drags" : "hovers"));
}
