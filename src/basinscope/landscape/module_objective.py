"""The loss of anyone's network on anyone's batches, at and around the weights that it has."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor, nn

from basinscope.errors import InputError, choose
from basinscope.landscape.batches import Batches, checked, cut, length, to_device
from basinscope.landscape.filters import Choice, Filters, OneDim, moved_filters
from basinscope.landscape.journal import Journal, Place
from basinscope.landscape.steps import UNITS, Center, Direction, RandomDirection, Scheme, Stored
from basinscope.landscape.undisturbed import undisturbed
from basinscope.memory import is_out_of_memory, release

_log = logging.getLogger(__name__)

T = TypeVar("T")
Loss = Callable[[Any, Any], Any]
AGREE = 1e-5
"""Relative difference of two passes over the same batches that rounding may explain."""
NUDGE = 0.1
"""Distance at which a loss is looked at to see whether it depends on the weights at all."""
CACHED_BYTES = 2**25
"""Directions that are made once and kept while something is measured, as long as they take no more than this."""
Step = tuple[Direction, float]


@dataclass(frozen=True)
class _Batch:
    """What a loss function said of one batch."""

    total: Tensor
    """Sum of the losses, differentiable."""
    count: float


class Objective:
    """The mean loss of a network over batches of data, as it can be measured around the network's weights.

    The network itself is never changed, nor is any random state: points around it are made in a copy. A direction is
    made anew from its seed at each evaluation, so that memory stays within the network, one copy and one pass; those of
    small networks are kept as long as they take no more than 32 MiB.

    Before the first measurement two passes over the batches must agree. If the network is trained on or loaded anew,
    the next measurement starts from its new weights.

    Args:
        model: Any `nn.Module`, in eval mode. Its device is the one that is used; batches are sent there.
        loss_fn: `loss_fn(model, batch)` returns each sample's loss, `(sum of losses, count)`, or the mean over the
            batch, which counts by the batch's length. It must use the model that it is given.
        batches: A list, a `DataLoader`, or a function that returns an iterator; they must be the same in each pass.
        parameters: Which tensors directions move: patterns of names such as `"*.lora_*"`, or a function of name and
            tensor. Default: those that are not frozen.
        normalization: `filter`, `layer` or `sphere`; see `RandomDirection`.
        one_dim: `moved` moves biases and other tensors of one axis, too; see `landscape.filters`.
        unit: Unit of the loss, for results and axes, such as `nat`.
        journal: File in which every evaluation along random directions is kept as soon as it is made: slices and radii
            that were interrupted and are asked for again take them up, and come out bit for bit the same. One file
            serves several networks. Default: none.

    Where memory runs out, batches are halved along their first axis and tried again, and that is said; the next pass
    keeps to the size that was found.

    Attributes:
        num_evaluations: Passes over the batches so far, those of derivatives left out.

    Raises:
        InputError: The batches can be gone through only once, nothing can be moved, or the network cannot be copied.

    Example:
        >>> objective = Objective(model, lambda model, batch: cross_entropy(model(batch[0]), batch[1]), batches)
        >>> objective.center_loss
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Loss,
        batches: Batches,
        *,
        parameters: Choice | None = None,
        normalization: Scheme = "filter",
        one_dim: OneDim = "fixed",
        unit: str = "",
        journal: str | Path | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model is a {type(model).__name__}: give an nn.Module")
        if not callable(loss_fn):
            raise InputError(f"loss_fn is a {type(loss_fn).__name__}: give a function of the model and a batch")
        choose("normalization", normalization, get_args(Scheme))
        self.model, self.unit = model, unit
        self.scheme: Scheme = normalization
        self._loss, self._begin = loss_fn, checked(batches)
        self.filters: tuple[Filters, ...] = moved_filters(model, parameters=parameters, one_dim=one_dim)
        self.one_dim = one_dim
        self.num_evaluations = 0
        # Tensors made in inference mode could be neither moved nor differentiated by later.
        with torch.inference_mode(False):
            self._copy = _copied(model)
        moved = dict(self._copy.named_parameters())
        self._follow()
        self._targets = tuple(moved[f.name] for f in self.filters)
        self._seen: tuple[Any, ...] | None = None
        self._bits: tuple[int, ...] = ()
        self._center_loss, self._count = math.nan, 0.0
        self._journal_path = None if journal is None else Path(journal)
        self._journal: Journal | None = None
        self._held = 0
        """How many callers have the objective held."""
        self._blocks: list[tuple[Direction, list[Tensor]]] = []
        """Directions that are kept, the latest last."""
        self._num_batches = self._passed = 0
        self._slopes_kept: Sequence[Tensor | None] | None = None
        """Gradient at the network's weights over its only batch, with its graph, while the objective is held."""
        self._most: dict[str, int] = {}
        """By kind of pass, samples that go through the network together, where memory has run out."""
        if self._journal_path is not None:
            Journal(self._journal_path, "")  # a file that is none is refused before anything is measured

    @property
    def num_moved(self) -> int:
        """Entries of the moved tensors: the dimension of the space that is looked at."""
        return sum(filters.size for filters in self.filters)

    @property
    def units(self) -> str:
        """What distance 1 along a random direction is."""
        return UNITS[self.scheme]

    @property
    def device(self) -> torch.device:
        """Where the network lies; the first tensor's device if it is spread over several."""
        return self.center.tensors[0].device

    @property
    def center_loss(self) -> float:
        """Mean loss of the network as it is.

        Raises:
            InputError: See `check`.
        """
        self.check()
        return self._center_loss

    @property
    def num_samples(self) -> float:
        """What the batches of one pass count: samples, or what the loss function counts.

        Raises:
            InputError: See `check`.
        """
        self.check()
        return self._count

    def direction(self, seed: int, index: int) -> RandomDirection:
        """Name one of a family of random directions."""
        return RandomDirection(self.center, seed, index, self.scheme)

    def check(self) -> None:
        """Make sure that the loss can be measured; quick if it was looked at and nothing has changed since.

        Raises:
            InputError: The loss is random, is not finite, or does not depend on the weights; the message names the
                usual causes.
        """
        state = _state(self.model)
        if state == self._seen and _bits(self.model) == self._bits:
            return
        _refuse_training_layers(self.model)
        self._follow()
        bits = _bits(self.model)
        with self._quiet():
            first = self._mean([])
            if not math.isfinite(first):
                raise InputError(f"the loss of the network as it is is {first}: there is nothing to measure around")
            second = self._mean([])
            if not abs(first - second) <= AGREE * max(abs(first), abs(second)) + 1e-12:
                raise InputError(self._why_random(first, second))
            self._refuse_other_model()
        self._center_loss, self._seen, self._bits = first, state, bits
        if self._journal_path is not None:
            self._journal = Journal(self._journal_path, self._fingerprint())

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Check the objective once and guard random states once, for many evaluations while the context is open.

        The network must not be changed meanwhile. Every verb holds its objective.

        Raises:
            InputError: See `check`.
        """
        if self._held:
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1
            return
        self.check()
        with self._quiet():
            self._held = 1
            try:
                yield
            finally:
                self._held, self._slopes_kept = 0, None
                self._blocks.clear()

    def _check_again(self) -> None:
        """Check if something has changed that is seen at no cost; what is measured begins with `check`."""
        if not self._held and _state(self.model) != self._seen:
            self.check()

    def _fingerprint(self) -> str:
        """Name the network, its batches and what is moved, from sums of bits and the loss itself."""
        moved = [(f.name, list(f.shape), list(f.split), list(f.inner)) for f in self.filters]
        facts = [moved, self.one_dim, self._bits, self._center_loss.hex(), float(self._count).hex(), str(self.device)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def loss_at(self, *steps: Step) -> float:
        """Mean loss at the network's weights plus each direction times its distance."""
        self._check_again()
        place = _name_of(steps) if self._journal else None
        known = self._journal.find(place) if self._journal and place else None
        if known is not None:
            return known
        with self._quiet():
            loss = self._mean(steps)
        if self._journal and place:
            self._journal.keep(place, loss)
        return loss

    def loss_of(self, state: Mapping[str, Tensor]) -> float:
        """Mean loss of another network of the same kind, running statistics and all that is not moved included.

        Args:
            state: Its tensors by name; those that are missing are the network's own.
        """
        self._check_again()
        ours = dict((*self._copy.named_parameters(), *self._copy.named_buffers()))
        own = dict((*self.model.named_parameters(), *self.model.named_buffers()))
        names = [name for name in ours if name in state and state[name].shape == ours[name].shape]
        self._slopes_kept = None
        with self._quiet(), torch.no_grad():
            try:
                for f, tensor in zip(self.filters, self.center.tensors, strict=True):
                    ours[f.name].copy_(tensor)
                for name in names:
                    ours[name].copy_(state[name])
                return self._summed()
            finally:
                for name in names:
                    ours[name].copy_(own[name])

    def gradient_at(self, *steps: Step) -> tuple[float, list[Tensor]]:
        """Mean loss at a point, and its gradient by the moved tensors, in single or double precision.

        Raises:
            InputError: The loss cannot be differentiated.
        """
        self._check_again()
        with self._quiet(), _differentiable(self._copy, self._targets):
            self._place(steps)
            total, gradient = 0.0, self._zeros()

            def slopes(batch: Any) -> tuple[float, Sequence[Tensor | None]]:
                found = self._of(batch)
                return float(found.total.detach()), self._slopes(found.total)

            for loss, parts in self._each("gradient", slopes):
                total += loss
                _add(gradient, parts)
        return total / self._count, [part / self._count for part in gradient]

    def hessian_vector_product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Multiply the Hessian of the mean loss at the network's weights by a vector, tensor by tensor.

        Raises:
            InputError: The loss cannot be differentiated, or a layer of the network has no second derivative.
        """
        self._check_again()
        with self._quiet(), _differentiable(self._copy, self._targets), _twice_differentiable(self._copy):
            cast = [v.to(t) for v, t in zip(vector, self._targets, strict=True)]
            product = self._zeros()
            if self._multiply_only_batch(cast, product):
                return [part / self._count for part in product]
            self._place([])
            for parts in self._each("product", lambda b: self._multiply(self._slopes_of(b), cast)):
                _add(product, parts)
            _clear(self._targets)
        return [part / self._count for part in product]

    def _slopes_of(self, batch: Any) -> Sequence[Tensor | None]:
        """Differentiate the loss of a batch so that it can be differentiated again."""
        _clear(self._targets)
        return self._slopes(self._of(batch).total, again=True)

    def _multiply_only_batch(self, vector: Sequence[Tensor], product: list[Tensor]) -> bool:
        """Multiply over the only batch, whose gradient is made once while the objective is held; tell if that is so."""
        if not self._held or self._num_batches != 1 or "product" in self._most:
            return False
        if self._slopes_kept is None:
            self._place([])
            found = list(self._each("product", self._slopes_of))
            if len(found) > 1:  # in pieces it is made anew for each product, which takes no more memory than one
                return False
            self._slopes_kept = found[0]
        try:
            _add(product, self._multiply(self._slopes_kept, vector, keep=True))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return True
        self._slopes_kept, self._num_batches = None, 0
        release(self.device)
        return False

    def _multiply(
        self, slopes: Sequence[Tensor | None], vector: Sequence[Tensor], *, keep: bool = False
    ) -> list[Tensor | None]:
        """Differentiate the inner product of a gradient and a vector."""
        _clear(self._targets)
        # A loss that is linear in the weights has a gradient that does not depend on them.
        pairs = [(s, v) for s, v in zip(slopes, vector, strict=True) if s is not None and s.requires_grad]
        if pairs:
            outputs, weights = zip(*pairs, strict=True)
            try:
                # Not `grad`, which passes over a layer that refuses to be differentiated twice and leaves its part of
                # the product out.
                torch.autograd.backward(outputs, weights, retain_graph=keep)
            except (NotImplementedError, RuntimeError) as error:
                if is_out_of_memory(error):
                    raise
                raise InputError(f"the network cannot be differentiated twice: {_first_line(error)}") from error
        return [target.grad for target in self._targets]

    def rough_loss_at(self, *steps: Step) -> tuple[float, float]:
        """Mean loss over the first batch alone at a point, and its count; batches that count nothing are skipped."""
        self._check_again()
        with self._quiet(), torch.no_grad():
            self._place(steps)
            for batch in self._batches():
                found = [(float(f.total), f.count) for f in self._pieces("loss", batch, self._of)]
                if count := sum(count for _, count in found):
                    return sum(total for total, _ in found) / count, count
        raise InputError(_EMPTY)

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        if self._held:
            yield
            return
        devices = {tensor.device for tensor in self.model.parameters()}
        with undisturbed(devices), torch.inference_mode(False):
            yield

    @torch.no_grad()
    def _follow(self) -> None:
        """Bring the copy to the state of the network.

        Raises:
            InputError: The network has other tensors or layers than it had.
        """
        own = dict((*self.model.named_parameters(), *self.model.named_buffers()))
        ours = dict((*self._copy.named_parameters(), *self._copy.named_buffers()))
        told = ([(n, t.shape, t.dtype, t.device) for n, t in tensors.items()] for tensors in (own, ours))
        kinds = ([(n, type(m)) for n, m in model.named_modules()] for model in (self.model, self._copy))
        for parts, (new, old) in (("tensors", told), ("layers", kinds)):
            if new != old:
                raise InputError(f"{type(self.model).__name__} has other {parts} than before: make a new Objective")
        for name, tensor in ours.items():
            tensor.copy_(own[name])
        for module, theirs in zip(self._copy.modules(), self.model.modules(), strict=True):
            module.training = theirs.training
        self.center = Center(self.filters, tuple(own[f.name] for f in self.filters))
        self._blocks, self._slopes_kept = [], None

    @torch.no_grad()
    def _place(self, steps: Sequence[Step]) -> None:
        """Move the copy's weights; always from the network's own, so that no rounding adds up."""
        self._slopes_kept = None
        kept = [self._kept(direction) if self._held else None for direction, _ in steps]
        for place, (own, target) in enumerate(zip(self.center.tensors, self._targets, strict=True)):
            if not steps:
                target.copy_(own)
                continue
            point = self.center.exact(place)
            for (direction, distance), blocks in zip(steps, kept, strict=True):
                block = direction.block(place).to(point) if blocks is None else blocks[place]
                point = torch.add(point, block, alpha=distance)
            target.copy_(point)

    def _kept(self, direction: Direction) -> list[Tensor] | None:
        """All entries of a direction, if such are small enough to be kept; made now if they are not there yet."""
        if isinstance(direction, Stored):
            return None
        for known, blocks in self._blocks:
            if known is direction:
                return blocks
        size = sum(t.numel() * max(t.element_size(), 4) for t in self._targets)
        if 2 * size > CACHED_BYTES:
            return None
        made = [direction.block(place).to(self.center.exact(place)) for place in range(len(self._targets))]
        # Two at most are at work at a time.
        self._blocks = [*self._blocks[-1:], (direction, made)]
        return made

    def _batches(self) -> Iterator[Any]:
        device = self.device
        self._passed = 0
        for batch in self._begin():
            self._passed += 1
            yield to_device(batch, device)

    def _each(self, kind: str, work: Callable[[Any], T]) -> Iterator[T]:
        """Do something with every batch, in pieces where memory has run out."""
        for batch in self._batches():
            yield from self._pieces(kind, batch, work)

    def _pieces(self, kind: str, batch: Any, work: Callable[[Any], T]) -> Iterator[T]:
        """Do something with a batch; where memory runs out, with halves of it.

        Raises:
            InputError: Not even a single sample fits, or the batch cannot be cut.
        """
        waiting = [batch] if kind not in self._most else cut(batch, self._most[kind]) or [batch]
        while waiting:
            try:
                found = work(waiting[0])
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                told = _first_line(error)
            else:
                del waiting[0]
                yield found
                continue
            # Out here, where the error no longer holds on to the tensors of the failed pass.
            _clear(self._targets)
            release(self.device)
            waiting[:1] = self._halved(kind, waiting[0], told)

    def _halved(self, kind: str, piece: Any, told: str) -> list[Any]:
        """Cut a piece that memory did not suffice for, and remember the size."""
        num = length(piece) if cut(piece, 1) else 0
        if num < 2:
            why = "with a single sample" if num else "and the batch cannot be cut; make smaller batches"
            raise InputError(f"out of memory {why} ({told})")
        self._most[kind] = -(-num // 2)
        _log.warning("out of memory with %d samples at a time; going on with %d", num, self._most[kind])
        halves = cut(piece, self._most[kind])
        assert halves is not None
        return halves

    @torch.no_grad()
    def _mean(self, steps: Sequence[Step]) -> float:
        self._place(steps)
        return self._summed()

    def _summed(self) -> float:
        """Mean loss over all batches at the copy's weights."""
        total = count = 0.0
        for found in self._each("loss", self._of):
            total, count = total + float(found.total), count + found.count
        if not count:
            raise InputError(_EMPTY)
        self.num_evaluations, self._count, self._num_batches = self.num_evaluations + 1, count, self._passed
        return total / count

    def _of(self, batch: Any) -> _Batch:
        """Ask the loss function about one batch, and understand its answer."""
        found = self._loss(self._copy, batch)
        if isinstance(found, tuple) and len(found) == 2:
            total, count = _exact(found[0], "the sum that the loss function returns"), found[1]
            if total.numel() != 1 or (isinstance(count, Tensor) and count.numel() != 1):
                raise InputError("the loss function returns (sum, count): both must be a single number")
            return _Batch(total.reshape(()), float(count))
        losses = _exact(found, "what the loss function returns")
        if losses.ndim == 0:
            num = length(batch)
            return _Batch(losses * num, num)
        if losses.ndim == 1:
            return _Batch(losses.sum(), len(losses))
        raise InputError(
            f"the loss function returns a tensor of shape {tuple(losses.shape)}: one loss for each sample, a mean, or "
            "(sum, count) is needed; sum up what belongs to one sample"
        )

    def _zeros(self) -> list[Tensor]:
        """Where sums over batches are kept: in single precision at least."""
        return [torch.zeros_like(t, dtype=torch.promote_types(t.dtype, torch.float32)) for t in self._targets]

    def _slopes(self, total: Tensor, *, again: bool = False) -> Sequence[Tensor | None]:
        """Differentiate a loss by the moved tensors; None for those that it does not depend on."""
        if not total.requires_grad:
            raise InputError(
                "the loss cannot be differentiated by the moved weights: the loss function must use them, and must "
                "not detach them, round the loss or work under no_grad"
            )
        return torch.autograd.grad(total, self._targets, create_graph=again, allow_unused=True)

    def _why_random(self, first: float, second: float) -> str:
        """Find out why two passes over the batches differ."""
        found = f"two passes over the batches give a loss of {first:.6g} and {second:.6g}: "
        for batch in self._batches():
            with torch.no_grad():
                once, again = (sum(float(f.total) for f in self._pieces("loss", batch, self._of)) for _ in range(2))
            if once != again and abs(once - again) > AGREE * max(abs(once), abs(again)):
                if any(module.training for module in self.model.modules()):
                    return found + "the network is random, and in training mode; call model.eval() first"
                return found + "the network or the loss function draws random numbers; it must not while it is measured"
            break
        return found + (
            "each batch gives the same loss twice, so the batches change from pass to pass (random augmentation, "
            "sampling, or shuffling with drop_last); make a fixed list of them first"
        )

    def _refuse_other_model(self) -> None:
        """Refuse a loss function that uses another model than it is given."""
        ran: list[bool] = []
        handles = [m.register_forward_pre_hook(lambda *_: ran.append(True)) for m in self._copy.modules()]
        try:
            batch = next(self._batches())
            losses = []
            for distance in (0.0, NUDGE):
                with torch.no_grad():
                    self._place([(self.direction(0, 0), distance)])
                    losses.append(sum(float(f.total) for f in self._pieces("loss", batch, self._of)))
        finally:
            for handle in handles:
                handle.remove()
        if not ran and losses[0] == losses[1]:
            raise InputError(
                "the loss does not depend on the weights, and the model was never called: let loss_fn(model, batch) "
                "use the model that it is given, not one from outside"
            )


def _name_of(steps: Sequence[Step]) -> Place | None:
    """Name a point by random directions and distances; None if it is reached otherwise."""
    named: Place = [[*name, float(distance).hex()] for d, distance in steps if (name := d.name) is not None]
    return named if steps and len(named) == len(steps) else None


def _copied(model: nn.Module) -> nn.Module:
    try:
        twin = copy.deepcopy(model)
    except Exception as error:  # every way in which a user's class can refuse
        raise InputError(f"{type(model).__name__} cannot be copied: {_first_line(error)}") from error
    _clear(twin.parameters())
    return twin.requires_grad_(False)


def _state(model: nn.Module) -> tuple[Any, ...]:
    """What tells whether a network has changed: where its tensors lie, how often they were written, and modes."""
    tensors = (*model.parameters(), *model.buffers())
    # Tensors made in inference mode do not count how often they are written, but cannot be trained either.
    places = tuple((t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors)
    return places, tuple((type(module), module.training) for module in model.modules())


def _bits(model: nn.Module) -> tuple[int, ...]:
    """Sum up the bits of each tensor, which tells of what is written past torch's own count, as through `.data`."""
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    sums = []
    for tensor in (*model.parameters(), *model.buffers()):
        plain = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
        kind = kinds.get(plain.element_size())
        sums.append(plain.view(kind).sum() if kind is not None and plain.layout == torch.strided else 0)
    return tuple(map(int, sums))


def _refuse_training_layers(model: nn.Module) -> None:
    """Refuse layers whose training mode makes the loss random, or dependent on the other samples of a batch."""
    for name, module in model.named_modules():
        if not module.training:
            continue
        kind = type(module).__name__
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise InputError(f"{name or kind} ({kind}) is in training mode, which makes the loss random: {_EVAL}")
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise InputError(
                f"{name or kind} ({kind}) is in training mode, in which a sample's loss depends on the others of its "
                f"batch: {_EVAL}"
            )


_EVAL = "call model.eval() first"
_EMPTY = "batches is empty: there is nothing to take the mean of"


def _exact(value: Any, what: str) -> Tensor:
    """A loss in double precision, where the device has it."""
    if not isinstance(value, Tensor):
        hint = "; return its .loss" if isinstance(getattr(value, "loss", None), Tensor) else ""
        raise InputError(f"{what} is a {type(value).__name__}: a tensor is needed{hint}")
    if value.is_complex():
        raise InputError(f"{what} is complex: a real tensor is needed")
    return value.to(torch.float32 if value.device.type == "mps" else torch.float64)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _clear(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        tensor.grad = None


@torch.no_grad()
def _add(totals: list[Tensor], parts: Sequence[Tensor | None]) -> None:
    for total, part in zip(totals, parts, strict=True):
        if part is not None:
            total.add_(part)


@contextlib.contextmanager
def _differentiable(twin: nn.Module, targets: Sequence[Tensor]) -> Iterator[None]:
    """Let the moved tensors of the copy be differentiated by while the context is open."""
    for target in targets:
        target.requires_grad_(True)
    try:
        with torch.enable_grad():
            yield
    finally:
        _clear(targets)
        twin.requires_grad_(False)


@contextlib.contextmanager
def _twice_differentiable(twin: nn.Module) -> Iterator[None]:
    """Compute attention and recurrent layers in the one way that can be differentiated twice."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    # One by one, because the context manager of cuDNN's settings would change the precision of convolutions, too.
    before = torch.backends.cudnn.enabled
    if any(isinstance(module, nn.RNNBase) for module in twin.modules()):
        torch.backends.cudnn.enabled = False
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cudnn.enabled = before
