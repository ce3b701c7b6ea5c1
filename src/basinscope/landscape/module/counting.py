"""What a mean over a batch counts: samples, graphs, label tokens, or what the user names.

A mean over unequal batches needs the weight of each. It is taken from `count=`, else from the batch: `num_graphs`, the
labels other than -100 of a language model, or the samples. A trial confirms it: the mean of a batch must be the
weighted mean of two unequal parts. The same trial recognises a sum that was returned in place of a mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from basinscope.errors import InputError, kind_of
from basinscope.landscape.module.samples import cut, layout_of

Count = str | Callable[[Any], Any]
"""A batch's field, or a function of a batch."""
IGNORED = -100
"""Label that torch's and Hugging Face's losses leave out by default."""
AGREE, ROUNDINGS = 1e-4, 4
"""Relative difference between a mean and that of its parts that is attributed to rounding: at least this, or so many
units of the coarsest precision."""
NEARLY = 0.1
"""Distance from the sum of the parts, relative to that from their mean, below which a value is taken for a sum."""
_GIVEN, _LABELS, _NEXT = "count", "labels", "predicted tokens"
_KNOWN = (_GIVEN, _NEXT, "graphs", "listed", "sequences")
"""Weights that hold without confirmation."""
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)


class Counting:
    """Weight of each batch in a mean over batches.

    Args:
        model: The network.
        what: Name of the function in error messages.
        count: The weight, as set by the user.
    """

    def __init__(self, model: nn.Module, what: str, count: Count | None = None) -> None:
        self.model, self.what, self.count = model, what, count
        self.form = ""
        """`pair` or `mean` for these forms of return value."""
        self.rule: str | None = None
        """How batches are weighted; None until decided."""
        self._seen: list[dict[str, float]] = []
        self._padded: int | None = None
        """Index of the first batch with ignored labels, which tells the possible weights apart."""
        self._latest: tuple[Any, float] | None = None
        """The latest batch and its weight."""
        self._sample: Any = None
        """The largest batch, or the first with ignored labels, until the weights are decided."""
        self._size = -1.0
        """Weight of that batch."""
        self._agree = AGREE
        self._value = math.nan
        """Mean, or count of a pair, of the sample."""
        self._total = math.nan
        """Sum of a pair."""

    def forget(self) -> None:
        """Decide again, because the network or the batches may have changed."""
        self.form, self.rule, self._seen, self._padded, self._latest = "", None, [], None, None
        self._sample, self._value, self._size = None, math.nan, -1.0

    def weight(self, batch: Any, mean: Tensor) -> float:
        """Weight of a batch whose loss is a mean."""
        if self.rule is not None:
            if self._latest is None or self._latest[0] is not batch:
                weights = self._weights(batch)
                self._latest = (batch, weights.get(self.rule, next(iter(weights.values()))))
            return self._latest[1]
        self.form = "mean"
        padded = self._padded is None and _ignores(batch)
        if padded:
            self._padded = len(self._seen)
        weights = self._weights(batch)
        size = next(iter(weights.values()))
        if padded or (self._padded is None and size > self._size):
            self._size = size
            self._sample, self._value = batch, float(mean.detach())
            coarsest = max(torch.finfo(t.dtype).eps for t in (mean, *self._floats()) if t.dtype.is_floating_point)
            self._agree = max(AGREE, ROUNDINGS * coarsest)
        self._seen.append(weights)
        return size

    def _floats(self) -> list[Tensor]:
        """A parameter of the network, for its precision."""
        return list(islice((p for p in self.model.parameters() if p.is_floating_point()), 1))

    def note_pair(self, batch: Any, total: Tensor, count: float) -> None:
        """Note that the function returns pairs, and the one with the largest count."""
        if self.rule is None and (not self.form or (self.form == "pair" and count > self._value)):
            self.form, self._sample, self._value, self._total = "pair", batch, count, float(total.detach())

    def _weights(self, batch: Any) -> dict[str, float]:
        """Possible weights, the most likely first.

        Raises:
            InputError: `count` does not fit the batch, or nothing in the batch can be counted.
        """
        if self.count is not None:
            return {_GIVEN: _given(self.count, batch)}
        layout, labels = layout_of(batch), _labels(batch)
        weights: dict[str, float] = {} if layout is None else {layout.kind: float(layout.num)}
        if labels is not None and "graphs" not in weights:
            tokens = {_LABELS: float((labels != IGNORED).sum())}
            if labels.ndim > 1 and is_language_model(self.model):
                if _predicts_next(self.model):
                    tokens = {_NEXT: float((labels[..., 1:] != IGNORED).sum()), **tokens}
                weights = {**tokens, **weights}
            else:
                weights = {**weights, **tokens}
        if not weights:
            raise InputError(
                f"a batch of type {type(batch).__name__} has no tensor with a batch axis, so its samples cannot be "
                f"counted: return (sum of losses, count) from {self.what}, or pass count="
            )
        return weights

    def settle(self, value: Callable[[Any], Any], *, modified: bool = False) -> bool:
        """Decide how batches are weighted, after the first pass.

        Args:
            value: The return value of the function for a part of a batch.
            modified: Whether the function modifies batches, so that parts of an evaluated batch are of no use.

        Returns:
            Whether this changes the mean of the first pass.

        Raises:
            InputError: The function returns a sum, its count is none, or the weights remain unknown.
        """
        sample, self._sample = self._sample, None
        if self.rule is not None or not self.form:
            return False
        parts = None if modified else _unequal_parts(sample)
        if self.form == "pair":
            if parts is not None:
                self._refuse_other_pairs(parts, value)
            self.rule = self.form
            return False
        keys = [key for key in self._seen[0] if all(key in seen for seen in self._seen)]
        first = keys[0]
        fitting = None if parts is None or first == _GIVEN else self._confirmed(keys, parts, value)
        candidates = fitting or keys
        if not self._is_known(first, candidates, confirmed=bool(fitting)):
            words = " or ".join({"listed": "samples"}.get(key, key) for key in candidates)
            raise InputError(
                f"{self.what} returns the mean over batches of different sizes, and their weights cannot be "
                f"determined (number of {words}?): pass count=, such as count=lambda batch: len(batch[0]), or return "
                "(sum, count)"
            )
        self.rule = candidates[0]
        return not self._proportional(first, self.rule)

    def _is_known(self, first: str, candidates: list[str], *, confirmed: bool) -> bool:
        """Whether the first candidate is the weight, or all lead to the same mean."""
        if first in _KNOWN or all(seen[k] == self._seen[0][k] for seen in self._seen for k in candidates):
            return True
        same = all(self._proportional(candidates[0], key) for key in candidates)
        return confirmed and (same or self._padded is not None)

    def _proportional(self, one: str, other: str) -> bool:
        """Whether two weights have the same ratio in every batch."""
        a, b = self._seen[0][one], self._seen[0][other]
        return all(math.isclose(seen[one] * b, seen[other] * a) for seen in self._seen)

    def _confirmed(self, keys: list[str], parts: tuple[Any, Any], value: Callable[[Any], Any]) -> list[str] | None:
        """Weights for which the mean of a batch is that of its parts; None if it cannot be computed.

        Raises:
            InputError: It is their sum.
        """
        try:
            one, two = (float(value(part)) for part in parts)
        except Exception:  # the user's function may fail on a part of a batch in any way
            return None
        whole = self._value
        if not all(map(math.isfinite, (whole, one, two))):
            return None
        tolerance = self._agree * max(abs(whole), abs(one), abs(two)) + 1e-12
        weights = [self._weights(part) for part in parts]
        fitting = []
        for key in keys:
            if all(key in w for w in weights) and (total := sum(w[key] for w in weights)):
                mean = (one * weights[0][key] + two * weights[1][key]) / total
                if abs(mean - whole) <= tolerance:
                    fitting.append(key)
        # Nearly a sum: one with a penalty on the weights, which its parts contain twice.
        mean = (one * weights[0][keys[0]] + two * weights[1][keys[0]]) / sum(w[keys[0]] for w in weights)
        if not fitting and abs(one + two - whole) <= max(tolerance, NEARLY * abs(mean - whole)):
            raise InputError(
                f"{self.what} returns the sum over a batch, where a scalar must be the mean: return (sum, count), the "
                "mean, or each sample's loss"
            )
        return fitting

    def _refuse_other_pairs(self, parts: tuple[Any, Any], value: Callable[[Any], Any]) -> None:
        """Refuse a second value that is no count, such as an accuracy."""
        try:
            pairs = [value(part) for part in parts]
            (first, one), (second, two) = ((float(total), float(count)) for total, count in pairs)
        except Exception:  # the user's function may fail on a part of a batch in any way
            return
        whole = self._value
        adds = abs(one + two - whole) <= AGREE * max(abs(whole), abs(one), abs(two))
        if not adds and not (whole == one == two and whole == round(whole)):
            raise InputError(
                f"{self.what} returns a pair, which is read as (sum, count), but its second value is {whole:g} for a "
                f"batch and {one:g} and {two:g} for its parts: return (sum of losses, number of samples)"
            )
        tolerance = self._agree * max(abs(self._total), abs(first), abs(second)) + 1e-12
        is_mean = abs(self._total * whole - first * one - second * two) <= tolerance * whole
        if is_mean and adds and abs(first + second - self._total) > tolerance:
            raise InputError(
                f"{self.what} returns (mean, count), where a pair must be (sum of losses, count): return the mean "
                "alone, or multiply it by the count"
            )


def _unequal_parts(batch: Any) -> tuple[Any, Any] | None:
    """A batch in two parts of different size, each with labels that count; None if it cannot be split."""
    layout = layout_of(batch)
    if layout is None or layout.num < 2:
        return None
    third = max(1, layout.num // 3)
    halves: list[Any] | None = None
    for middle in dict.fromkeys((third, layout.num - third, 1, layout.num - 1)):
        halves = cut(batch, [(0, middle), (middle, layout.num)])
        if halves is None or not any(map(_all_ignored, halves)):
            break
    return None if halves is None else (halves[0], halves[1])


def _all_ignored(batch: Any) -> bool:
    labels = _labels(batch)
    return labels is not None and bool((labels == IGNORED).all())


def _given(count: Count, batch: Any) -> float:
    """The user's own weight of a batch.

    Raises:
        InputError: It is missing, or not a single number.
    """
    if callable(count):
        try:
            found, what = count(batch), "count(batch)"
        except Exception as error:  # the user's function can fail in any way
            raise InputError(f"count fails on {kind_of(batch)}: {type(error).__name__}: {error}") from error
    else:
        what = f"count={count!r}"
        if not isinstance(count, str):
            raise InputError(f"{what}: pass a function of a batch, or the name of a field")
        fields = batch if isinstance(batch, Mapping) or hasattr(batch, "keys") else getattr(batch, "__dict__", {})
        if count not in fields and not hasattr(batch, count):
            raise InputError(f"{what}: a batch of type {type(batch).__name__} has no field of that name")
        found = fields[count] if count in fields else getattr(batch, count)
    if isinstance(found, Tensor):
        found = found.item() if found.numel() == 1 else found
    if isinstance(found, bool) or not isinstance(found, int | float) or not (math.isfinite(found) and found >= 0):
        shown = found if isinstance(found, int | float) else kind_of(found)
        raise InputError(f"{what} is {shown}: it must be a number of at least 0")
    return float(found)


def _labels(batch: Any) -> Tensor | None:
    """The integer labels of a batch: the field `labels`, an integer tensor with ignored entries, or the last tensor."""
    if isinstance(batch, Mapping) or hasattr(batch, "keys"):
        labels = dict(batch).get("labels")
        return labels if isinstance(labels, Tensor) and labels.dtype in _INTEGERS else None
    tensors = [leaf for leaf in pytree.tree_leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim]
    integers = [tensor for tensor in tensors if tensor.dtype in _INTEGERS]
    ignoring = [tensor for tensor in integers if bool((tensor == IGNORED).any())]
    if ignoring:
        return ignoring[-1]
    return tensors[-1] if tensors and tensors[-1] is (integers or [None])[-1] else None


def _ignores(batch: Any) -> bool:
    labels = _labels(batch)
    return labels is not None and bool((labels == IGNORED).any())


def is_language_model(model: nn.Module) -> bool:
    """Whether a network inside is one of Hugging Face's, whose losses are means over labels."""
    return any(type(m).__module__.startswith("transformers.") for m in (model, *model.children()))


def _predicts_next(model: nn.Module) -> bool:
    """Whether the labels are shifted by one, as for causal language models."""
    for module in (model, *model.children()):
        kind = str(getattr(module, "loss_type", None) or "")
        name = type(module).__name__
        if "CausalLM" in kind or "CausalLM" in name or name.endswith("LMHeadModel"):
            return True
    return False
