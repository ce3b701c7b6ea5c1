// Lists of named numbers, and legends of colours.

/**
 * A list of named numbers that can be updated.
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
    update(entries, title) {
      if (title !== undefined) head.textContent = title;
      list.replaceChildren(...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
    },
  };
}

/**
 * A legend of colours.
 * @param {[string, string][]} entries  Name of each colour, and its meaning.
 */
function legendOf(entries) {
  return make(
    "p",
    { class: "legend" },
    ...entries.map(([name, text]) => {
      const dot = make("i");
      dot.style.background = name.startsWith("#") ? name : `var(--${name})`;
      return make("span", {}, dot, text);
    }),
  );
}
