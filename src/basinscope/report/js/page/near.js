// Doing something once an element comes near the window.

/**
 * Do something once an element comes near the window, or when it is about to be printed.
 * @param {Element} element
 * @param {() => Promise<void>} act
 * @returns {() => Promise<void>} Does it at once, if it was not done before.
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
