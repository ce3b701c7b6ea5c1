// Tracks the pointer on an element.

/**
 * State of the pointer: hovering, pressed, or dragging.
 * @typedef {"hovers" | "pressed" | "drags"} Pointing
 */

/**
 * Call back with the pointer's position, in fractions of width and height from the top left corner.
 * @param {HTMLElement} element
 * @param {(x: number, y: number, how: Pointing) => void} moved
 */
function pointing(element, moved) {
  const report = (/** @type {PointerEvent} */ event, /** @type {Pointing} */ how) => {
    const box = element.getBoundingClientRect();
    moved((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, how);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    report(event, "pressed");
  });
  element.addEventListener("pointermove", (event) => report(event, event.buttons ? "drags" : "hovers"));
}
