// The first picture: a good and a bad minimum of one network, side by side.

/**
 * Caption of a boundary.
 * @param {Role} role
 * @param {Record<string, Score>} scores
 */
function heroCaption(role, { train, test }) {
  return `${role} minimum: ${percent(train.accuracy)} of training points right, ${percent(test.accuracy)} of fresh ones`;
}

PARTS.hero = (root, exhibits) => {
  const roll = readRoll(needed(exhibits, "roll"));
  const sides = ROLES.map((role) => {
    const field = fieldView(`Decision boundary of the ${role} minimum, with the training points`);
    const evaluator = explorer(minimumOf(roll, role), { coarse: 64, fine: 160 }, ({ field: drawn, scores }) => {
      field.show(drawn, { ...roll.samples.train, wrong: scores.train.wrong });
      field.caption.textContent = heroCaption(role, scores);
      field.caption.style.color = `var(--${role})`;
      note(`hero-${role}`, { field: drawn, scores });
    });
    evaluator.look({ net: 0, way: { kind: "none" }, distance: 0 }, roll.view);
    return field.element;
  });
  root.append(...sides);
};
