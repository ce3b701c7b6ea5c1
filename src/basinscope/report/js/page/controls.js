// Sliders, choices, menus and buttons.

/**
 * @typedef {Object} Slider
 * @property {HTMLElement} element
 * @property {HTMLInputElement} input
 * @property {() => number} value
 * @property {(value: number) => void} set  Sets the value and calls the callback.
 * @property {(text: string) => void} update  Sets the text beside it.
 */

/**
 * A labelled slider with a text for its value; it works with keyboard and touch.
 * @param {{label: string, min: number, max: number, step: number, value: number}} range
 * @param {(value: number) => void} changed
 * @returns {Slider}
 */
function slider({ label, min, max, step, value }, changed) {
  const input = make("input", { type: "range", min, max, step, value });
  const output = make("output");
  const element = make("label", { class: "slider" }, make("span", {}, label), input, output);
  // A click at the current value counts, too: another control may have taken over since.
  for (const event of ["input", "click"]) input.addEventListener(event, () => changed(input.valueAsNumber));
  return {
    element,
    input,
    value: () => input.valueAsNumber,
    set(to) {
      input.value = String(to);
      changed(input.valueAsNumber);
    },
    update(text) {
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    },
  };
}

/** Number of choices created so far; each radio group needs a unique name. */
let choices = 0;

/**
 * A choice between a few options, as a row of buttons.
 * @template {string} T
 * @param {string} label
 * @param {[T, string][]} options  Values and labels.
 * @param {T} value
 * @param {(value: T) => void} changed
 * @returns {{element: HTMLElement, value: () => T, set: (value: T) => void, enable: (value: T, on: boolean) => void}}
 */
function choice(label, options, value, changed) {
  const name = `choice-${(choices += 1)}`;
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

/**
 * A drop-down menu.
 * @param {string} label
 * @param {[string, string][]} options  Values and labels.
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
