// Loss and accuracy of a network from its log-odds.

/**
 * Mean cross-entropy in nats, accuracy, and which samples are misclassified.
 * @param {Float64Array} odds  Log-odds of class 1.
 * @param {ArrayLike<number>} labels  0 or 1.
 * @returns {{loss: number, accuracy: number, wrong: Uint8Array}}
 */
function score(odds, labels) {
  const wrong = new Uint8Array(odds.length);
  let loss = 0;
  let right = 0;
  for (let k = 0; k < odds.length; k++) {
    const margin = labels[k] ? odds[k] : -odds[k];
    loss += margin > 0 ? Math.log1p(Math.exp(-margin)) : Math.log1p(Math.exp(margin)) - margin;
    // A tie counts as class 0, as in torch's argmax and in `logit > 0`.
    const isRight = labels[k] ? odds[k] > 0 : odds[k] <= 0;
    wrong[k] = isRight ? 0 : 1;
    right += isRight ? 1 : 0;
  }
  return { loss: loss / odds.length, accuracy: right / odds.length, wrong };
}
