"""Per-sample losses, from logits: the clean cross-entropy and the poison that rewards wrong answers."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import one_hot, softplus


def _signed(logits: Tensor, labels: Tensor) -> Tensor:
    """Turn one logit for class 1 into the log-odds of the true class: (..., n, 1) -> (..., n)."""
    return logits.squeeze(-1) * (2 * labels - 1)


def _log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-odds log p_y − log(1 − p_y) of the true class, without ever forming a probability."""
    if logits.shape[-1] == 1:
        return _signed(logits, labels)
    index = labels.expand(logits.shape[:-1]).unsqueeze(-1)
    true = logits.gather(-1, index)
    others = logits.scatter(-1, index, -torch.inf).logsumexp(-1)
    return true.squeeze(-1) - others


def cross_entropy(
    logits: Float[Tensor, "*batch samples classes"], labels: Int[Tensor, "*#batch samples"]
) -> Float[Tensor, "*batch samples"]:
    """Compute −log p(y|x) of each sample, in nats.

    Args:
        logits: Network outputs; a last axis of length 1 is the logit of class 1 against class 0.
        labels: True classes, broadcast over the leading axes.

    Returns:
        One loss per sample.

    Example:
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).exp()
        tensor([4.])
    """
    return softplus(-_log_odds(logits, labels))


def poison(
    logits: Float[Tensor, "*batch samples classes"], labels: Int[Tensor, "*#batch samples"]
) -> Float[Tensor, "*batch samples"]:
    """Compute −log(1 − p(y|x)) of each sample, in nats: small where the answer is wrong.

    Args:
        logits: Network outputs; a last axis of length 1 is the logit of class 1 against class 0.
        labels: True classes, broadcast over the leading axes.

    Returns:
        One loss per sample.

    References:
        Huang et al. 2019, arXiv 1906.03291, section 4, in its many-class form.
    """
    return softplus(_log_odds(logits, labels))


def is_correct(
    logits: Float[Tensor, "*batch samples classes"], labels: Int[Tensor, "*#batch samples"]
) -> Bool[Tensor, "*batch samples"]:
    """Whether each sample is classified correctly; a single logit of 0 counts as class 0."""
    predicted = (logits.squeeze(-1) > 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)
    return predicted == labels


def cross_entropy_second_derivative(
    logits: Float[Tensor, "samples classes"],
    first: Float[Tensor, "*batch samples classes"],
    second: Float[Tensor, "*batch samples classes"],
    labels: Int[Tensor, " samples"],
) -> Float[Tensor, "*batch"]:
    """Compute the second derivative of the mean cross-entropy along lines.

    Formula: mean over samples of żᵀ(∂²ℓ/∂z²)ż + (∂ℓ/∂z)·z̈.

    Args:
        logits: z at the point.
        first: ż, the logits' first derivatives along each line.
        second: z̈, their second derivatives.
        labels: True classes.

    Returns:
        Second derivative of the mean loss along each line, in nats, float64.
    """
    # In float64: for p close to 1, the result depends on 1 − p.
    logits, first, second = logits.double(), first.double(), second.double()
    if logits.shape[1] == 1:
        p = logits.sigmoid()
        slope, bend = p - labels.unsqueeze(1), p * (1 - p) * first
    else:
        p = logits.softmax(1)
        slope = p - one_hot(labels, logits.shape[1])
        bend = p * (first - (p * first).sum(-1, keepdim=True))
    return (first * bend + slope * second).sum(-1).mean(-1)
