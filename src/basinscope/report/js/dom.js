// Building blocks of the page. Text goes in as text, never as HTML.

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean>} [attributes]  Boolean ones are set where true.
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * @typedef {Object} Slider
 * @property {HTMLElement} element
 * @property {HTMLInputElement} input
 * @property {() => number} value
 * @property {(value: number) => void} set  Moves it and tells.
 * @property {(text: string) => void} tell  Writes beside it what its place means.
 */

/**
 * A slider with a name and a place for what it means; keyboard and touch come with it.
 * @param {{label: string, min: number, max: number, step: number, value: number}} range
 * @param {(value: number) => void} changed
 * @returns {Slider}
 */
function slider({ label, min, max, step, value }, changed) {
  const input = make("input", { type: "range", min, max, step, value });
  const output = make("output");
  const element = make("label", { class: "slider" }, make("span", {}, label), input, output);
  // A press where it stands already counts, too: it may have been left for something else.
  for (const event of ["input", "click"]) input.addEventListener(event, () => changed(input.valueAsNumber));
  return {
    element,
    input,
    value: () => input.valueAsNumber,
    set(to) {
      input.value = String(to);
      changed(input.valueAsNumber);
    },
    tell(text) {
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    },
  };
}

/**
 * A choice among a few, as a row of buttons.
 * @template {string} T
 * @param {string} label
 * @param {[T, string][]} options  Values and words.
 * @param {T} value
 * @param {(value: T) => void} changed
 * @returns {{element: HTMLElement, value: () => T, set: (value: T) => void, enable: (value: T, on: boolean) => void}}
 */
function choice(label, options, value, changed) {
  const name = `choice-${(choice.made += 1)}`;
  let now = value;
  const inputs = options.map(([key, text]) => {
    const input = make("input", { type: "radio", name, value: key, checked: key === value });
    input.addEventListener("change", () => {
      now = key;
      changed(key);
    });
    return { key, input, element: make("label", {}, input, make("span", {}, text)) };
  });
  const element = make("fieldset", { class: "choice" }, make("legend", {}, label), ...inputs.map((i) => i.element));
  return {
    element,
    value: () => now,
    set(to) {
      for (const { key, input } of inputs) input.checked = key === to;
      now = to;
      changed(to);
    },
    enable(which, on) {
      for (const { key, input } of inputs) if (key === which) input.disabled = !on;
    },
  };
}
choice.made = 0;

/**
 * @param {string} label
 * @param {[string, string][]} options  Values and words.
 * @param {(value: string) => void} changed
 */
function menu(label, options, changed) {
  const select = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
  select.addEventListener("change", () => changed(select.value));
  return { element: make("label", { class: "menu" }, make("span", {}, label), select), select };
}

/**
 * @param {string} text
 * @param {() => void} pressed
 */
function button(text, pressed) {
  const element = make("button", { type: "button" }, text);
  element.addEventListener("click", pressed);
  return element;
}

/** Whether the reader asked for less motion. */
const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * A button that moves a slider from where it is to its end, and again from the start.
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
    // Near the end, it begins again.
    const near = Math.abs(target.value() - last) <= 0.03 * (last - first);
    const from = near ? first : target.value();
    const duration = (1000 * seconds * Math.abs(last - from)) / (last - first);
    let began = NaN;
    let shown = NaN;
    const advance = (/** @type {number} */ now) => {
      if (Number.isNaN(began)) began = now;
      const share = duration ? Math.min(1, (now - began) / duration) : 1;
      const place = first + Math.round((from + share * (last - from) - first) / step) * step;
      if (place !== shown) target.set((shown = place));
      if (share < 1) timer = requestAnimationFrame(advance);
      else stop();
    };
    // Who asked for less motion sees the end at once.
    if (calm()) {
      target.set(last);
      stop();
    } else timer = requestAnimationFrame(advance);
  }
  input.addEventListener("pointerdown", stop);
  input.addEventListener("keydown", stop);
  return { element, stop };
}

/**
 * A list of named numbers that changes in place.
 * @param {string} heading
 * @param {string} [colour]  Name of a colour of the style sheet.
 */
function readout(heading, colour) {
  const list = make("dl");
  const head = make("h4", {}, heading);
  if (colour) head.style.color = `var(--${colour})`;
  const element = make("div", { class: "readout" }, head, list);
  return {
    element,
    /**
     * @param {[string, string][]} entries
     * @param {string} [title]
     */
    tell(entries, title) {
      if (title !== undefined) head.textContent = title;
      list.replaceChildren(...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    },
  };
}

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
