// Runs an action once an element comes near the viewport.

/**
 * Run an action once an element comes near the viewport, or before printing.
 * @param {Element} element
 * @param {() => Promise<void>} act
 * @returns {() => Promise<void>} Runs it now, unless it has run already.
 */
function whenNear(element, act) {
  /** @type {Promise<void> | null} */
  let done = null;
  const once = () => {
    watch.disconnect();
    return (done ??= act());
  };
  const watch = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && once(), {
    rootMargin: "600px",
  });
  watch.observe(element);
  addEventListener("beforeprint", once);
  return once;
}
