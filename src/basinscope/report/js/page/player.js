// A button that plays a slider.

/** Whether the user prefers reduced motion. */
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * A button that moves a slider to its end; near the end it starts over.
 * @param {Slider} target
 * @param {{seconds: number}} how
 */
function player(target, { seconds }) {
  let timer = 0;
  const element = button("▶ Play", () => (timer ? stop() : start()));
  const { input } = target;
  const [first, last, step] = [Number(input.min), Number(input.max), Number(input.step)];

  function stop() {
    cancelAnimationFrame(timer);
    timer = 0;
    element.textContent = "▶ Play";
  }
  function start() {
    element.textContent = "❚❚ Stop";
    // Near the end, start over.
    const near = Math.abs(target.value() - last) <= 0.03 * (last - first);
    const from = near ? first : target.value();
    const duration = (1000 * seconds * Math.abs(last - from)) / (last - first);
    let began = NaN;
    let shown = NaN;
    const advance = (/** @type {number} */ now) => {
      if (Number.isNaN(began)) began = now;
      const share = duration ? Math.min(1, (now - began) / duration) : 1;
      const value = first + Math.round((from + share * (last - from) - first) / step) * step;
      if (value !== shown) target.set((shown = value));
      if (share < 1) timer = requestAnimationFrame(advance);
      else stop();
    };
    // With reduced motion, jump to the end.
    if (calm()) {
      target.set(last);
      stop();
    } else timer = requestAnimationFrame(advance);
  }
  input.addEventListener("pointerdown", stop);
  input.addEventListener("keydown", stop);
  return { element, stop };
}
