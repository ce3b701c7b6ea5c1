"""How operations pass permutations of their inputs' axes on to their outputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from basinscope.landscape.symmetry.axes import Dim, dim, fix, regrouped, section, size_of, unite
from basinscope.landscape.symmetry.recording import CONSTANTS, Dims, Found, Recording, Rule, free

RULES: dict[str, Rule] = {}


def _rule(names: str) -> Any:
    """Register a rule for operations."""

    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names.split(), rule))
        return rule

    return register


def _at(args: Sequence[Any], kwargs: dict[str, Any], place: int, name: str, default: Any = None) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


@_rule(
    "relu relu6 hardtanh hardswish hardsigmoid gelu silu mish sigmoid tanh leaky_relu elu celu selu softplus threshold "
    "log_sigmoid_forward exp expm1 log log1p log2 log10 neg abs sqrt rsqrt square reciprocal sin cos tan atan erf sign "
    "sgn isnan isinf isfinite logical_not bitwise_not floor ceil round trunc nan_to_num detach clone alias _to_copy "
    "lift_fresh lift_fresh_copy contiguous positive _softmax _log_softmax softmax log_softmax fill zero"
)
def elementwise(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Every entry by itself, or normalised over an axis."""
    del kwargs
    dims = recording.dims(args[0])
    return [dims if out.shape == args[0].shape else None for out in _outputs(result)]


@_rule(
    "add sub mul div rsub maximum minimum fmax fmin pow where addcmul addcdiv lerp eq ne lt gt le ge clamp clamp_min "
    "clamp_max atan2 logaddexp hypot logical_and logical_or logical_xor bitwise_and bitwise_or remainder fmod "
    "masked_fill _prelu_kernel copy floor_divide true_divide tanh_backward sigmoid_backward threshold_backward "
    "gelu_backward silu_backward softplus_backward elu_backward leaky_relu_backward"
)
def broadcast(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Every entry with those of other tensors, after broadcasting."""
    tensors = [t for t in itertools.chain(args, kwargs.values()) if isinstance(t, Tensor)]
    out: Dims = [[[]] for _ in result.shape]
    for tensor in tensors:
        dims = recording.dims(tensor)
        for k, d in enumerate(reversed(dims)):
            place = len(out) - 1 - k
            if size_of(d) == 1:
                continue
            if size_of(out[place]) == 1:
                out[place] = d
            else:
                unite(out[place], d)
    return [out]


@_rule("mse_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits soft_margin_loss")
def paired(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Losses of pairs of entries, reduced or not."""
    for tensor in [t for t in itertools.chain(args[1:], kwargs.values()) if isinstance(t, Tensor)]:
        if tensor.shape != args[0].shape:
            return None
        for one, two in zip(recording.dims(args[0]), recording.dims(tensor), strict=True):
            unite(one, two)
    return [recording.dims(args[0]) if result.shape == args[0].shape else []]


@_rule("sum mean amax amin var std var_mean std_mean logsumexp linalg_vector_norm norm prod any all")
def reduction(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Functions of the entries along axes that do not depend on their order."""
    axes = kwargs.get("dim")
    if axes is None:
        # A number is the axis of `prod`, `any` and `all`; as the order of a norm it fails the check of the shape below.
        axes = next((a for a in args[1:] if isinstance(a, list | tuple)), args[1] if len(args) > 1 else None)
    if not isinstance(axes, int | list | tuple) or isinstance(axes, bool):
        axes = None
    num = args[0].ndim
    chosen = range(num) if axes is None or axes == [] else [axes] if isinstance(axes, int) else axes
    reduced = {axis % num for axis in chosen} if num else set()
    dims, found = recording.dims(args[0]), []
    for out in _outputs(result):
        keep = out.ndim == num
        rest = [d for k, d in enumerate(dims) if k not in reduced]
        kept = [[[]] if k in reduced else d for k, d in enumerate(dims)]
        found.append(kept if keep else rest)
        if [size_of(d) for d in found[-1]] != list(out.shape):
            return None
    return found


@_rule("mm bmm addmm baddbmm addmv mv dot matmul addbmm")
def product(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Matrix products: the inner axes are united."""
    del kwargs
    tensors = [t for t in args if isinstance(t, Tensor)]
    *bias, first, second = tensors
    one, two = recording.dims(first), recording.dims(second)
    inner = two[-2] if second.ndim > 1 else two[0]
    unite(one[-1], inner)
    for a, b in zip(one[:-2], two[:-2], strict=False):
        unite(a, b)
    out = [*one[:-1], *(two[-1:] if second.ndim > 1 else [])]
    if [size_of(d) for d in out] != list(result.shape):
        return None
    for tensor in bias:
        _unite_right(recording.dims(tensor), out)
    return [out]


def _unite_right(dims: Dims, out: Dims) -> None:
    """Unite the dimensions of a tensor that is broadcast with those of the result."""
    for one, two in zip(reversed(dims), reversed(out), strict=False):
        if size_of(one) > 1:
            unite(one, two)


@_rule("view _unsafe_view reshape flatten unflatten _reshape_alias _reshape_copy squeeze unsqueeze")
def reshaped(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """The same entries in the same order."""
    del kwargs
    if result.dtype != args[0].dtype:
        return None
    return [regrouped(recording.dims(args[0]), result.shape)]


@_rule("t transpose permute numpy_T adjoint mT")
def permuted(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Other orders of the dimensions."""
    del result
    dims, num = recording.dims(args[0]), args[0].ndim
    if len(args) == 1 and not kwargs:
        return [dims[::-1]]
    order = list(range(num))
    if isinstance(_at(args, kwargs, 1, "dims"), list | tuple):
        order = [axis % num for axis in _at(args, kwargs, 1, "dims")]
    else:
        one, two = (_at(args, kwargs, k, f"dim{k - 1}") % num for k in (1, 2))
        order[one], order[two] = order[two], order[one]
    return [[dims[axis] for axis in order]]


@_rule("expand broadcast_to")
def expanded(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Repeated along axes of one entry: the copies are equal, so their order does not matter."""
    del kwargs
    dims = recording.dims(args[0])
    out = [dim(size) for size in result.shape]
    for k, d in enumerate(reversed(dims)):
        if size_of(d) > 1:
            out[len(out) - 1 - k] = d
    return [out]


@_rule("select")
def selected(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """One entry along an axis, which is fixed."""
    del result
    dims = recording.dims(args[0])
    axis = _at(args, kwargs, 1, "dim", 0) % args[0].ndim
    fix(dims[axis])
    return [[d for k, d in enumerate(dims) if k != axis]]


@_rule("unbind")
def unbound(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Each entry along an axis, which is fixed."""
    dims = recording.dims(args[0])
    axis = _at(args, kwargs, 1, "dim", 0) % args[0].ndim
    fix(dims[axis])
    return [[d for k, d in enumerate(dims) if k != axis] for _ in result]


@_rule("slice narrow")
def sliced(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Consecutive entries along an axis; with a step, it is fixed."""
    dims = list(recording.dims(args[0]))
    axis = _at(args, kwargs, 1, "dim", 0) % args[0].ndim
    size = args[0].shape[axis]
    begin, end = _at(args, kwargs, 2, "start"), _at(args, kwargs, 3, "end")
    begin, end, step = slice(begin, end, _at(args, kwargs, 4, "step", 1)).indices(size)
    if step != 1:
        fix(dims[axis])
        dims[axis] = dim(result.shape[axis], fixed=True)
    elif end - begin < size:
        dims[axis] = section(dims[axis], begin, end)
    return [dims]


@_rule("split split_with_sizes unsafe_split unsafe_split_with_sizes chunk unsafe_chunk tensor_split")
def divided_up(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Consecutive parts along an axis."""
    dims = recording.dims(args[0])
    axis = _at(args, kwargs, 2, "dim", 0) % args[0].ndim
    found, begin = [], 0
    for part in result:
        end = begin + part.shape[axis]
        found.append([section(d, begin, end) if k == axis else d for k, d in enumerate(dims)])
        begin = end
    return found


@_rule("cat concat")
def concatenated(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Several tensors along an axis, which becomes a sum."""
    tensors = [t for t in args[0] if t.numel()]
    axis = _at(args, kwargs, 1, "dim", 0) % result.ndim
    out = list(recording.dims(tensors[0]))
    joined: Dim = []
    for tensor in tensors:
        dims = recording.dims(tensor)
        for k, d in enumerate(dims):
            if k != axis:
                unite(out[k], d)
        joined.extend(dims[axis])
    out[axis] = joined
    return [out]


@_rule("stack")
def stacked(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Several tensors along a new axis, which is fixed."""
    axis = _at(args, kwargs, 1, "dim", 0) % result.ndim

    def united() -> Dims:
        # Only once the result is used: recurrent layers stack states that nobody reads.
        out = list(recording.dims(args[0][0]))
        for tensor in args[0][1:]:
            for one, two in zip(out, recording.dims(tensor), strict=True):
                unite(one, two)
        out.insert(axis, dim(len(args[0]), fixed=True))
        return out

    return [united]


@_rule("constant_pad_nd pad")
def padded(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """A constant around a tensor: permutable by itself, beside the axis that it extends."""
    del kwargs
    dims = list(recording.dims(args[0]))
    for k in range(len(args[1]) // 2):
        before, after = args[1][2 * k : 2 * k + 2]
        axis = result.ndim - 1 - k
        if before < 0 or after < 0:
            return None
        if before or after:
            dims[axis] = [*(dim(before) if before else []), *dims[axis], *(dim(after) if after else [])]
    return [dims]


@_rule(" ".join(CONSTANTS))
def constant(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """All entries are equal."""
    del recording, args, kwargs
    return [free(result)]


@_rule("embedding")
def embedding(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Rows of a table, whose order is fixed."""
    del result, kwargs
    table, indices = args[:2]
    rows, columns = recording.dims(table)
    fix(rows)
    recording.fix(indices)
    return [[*recording.dims(indices), columns]]


@_rule("convolution _convolution")
def convolution(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Channels of groups: input groups × inputs within, output groups × outputs within."""
    del kwargs
    inputs, weight, bias, transposed, groups = args[0], args[1], args[2], args[6], args[8]
    if inputs.ndim != weight.ndim:
        return None
    given, taken = recording.dims(inputs), recording.dims(weight)
    for d in (*given[2:], *taken[2:]):
        fix(d)
    out_channels = result.shape[1]
    group = dim(groups)[0]
    within, outside = dim(inputs.shape[1] // groups), dim(out_channels // groups)
    source, target = [[*group, *within[0]]], [[*group, *outside[0]]]
    unite(given[1], source)
    unite(taken[0], source if transposed else target)
    unite(taken[1], outside if transposed else within)
    if bias is not None:
        unite(recording.dims(bias)[0], target)
    return [[given[0], target, *(dim(size, fixed=True) for size in result.shape[2:])]]


@_rule(
    "native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit_no_training _batch_norm_no_update"
)
def batch_norm(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Channel by channel."""
    del kwargs
    dims = recording.dims(args[0])
    for tensor in [t for t in args[1:] if isinstance(t, Tensor)]:
        unite(dims[1], recording.dims(tensor)[0])
    return [dims, *([None] * (len(_outputs(result)) - 1))]


@_rule("native_layer_norm _fused_rms_norm")
def layer_norm(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Moments over the last axes, which do not depend on their order."""
    del kwargs
    dims = recording.dims(args[0])
    for tensor in [t for t in args[2:] if isinstance(t, Tensor)]:
        _unite_right(recording.dims(tensor), dims)
    return [dims, *([None] * (len(_outputs(result)) - 1))]


@_rule("native_group_norm")
def group_norm(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Groups × channels within."""
    del kwargs
    dims, groups = recording.dims(args[0]), args[6]
    channels: Dim = [[*dim(groups)[0], *dim(args[0].shape[1] // groups)[0]]]
    unite(dims[1], channels)
    for tensor in (args[1], args[2]):
        if tensor is not None:
            unite(recording.dims(tensor)[0], channels)
    return [dims, *([None] * (len(_outputs(result)) - 1))]


@_rule(
    "max_pool2d_with_indices max_pool3d_with_indices avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d "
    "_adaptive_avg_pool3d adaptive_avg_pool1d adaptive_max_pool2d adaptive_max_pool3d upsample_nearest1d "
    "upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d upsample_linear1d upsample_bilinear2d "
    "upsample_bicubic2d upsample_trilinear3d mkldnn_max_pool2d mkldnn_adaptive_avg_pool2d reflection_pad1d "
    "reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d"
)
def spatial(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Within each channel; positions are fixed."""
    del kwargs
    dims = recording.dims(args[0])
    num = sum(a == b for a, b in itertools.zip_longest(args[0].shape[:2], _outputs(result)[0].shape[:2]))
    if num < 2 or args[0].ndim < 3:
        return None
    for d in dims[2:]:
        fix(d)
    return [[*dims[:2], *(dim(size, fixed=True) for size in out.shape[2:])] for out in _outputs(result)]


@_rule(
    "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention"
)
def attention(recording: Recording, result: Any, args: Any, kwargs: Any) -> Found:
    """Queries and keys meet in their last axis; positions are fixed."""
    query, key, value = (recording.dims(t) for t in args[:3])
    if any(t.ndim != args[0].ndim for t in args[:3]):
        return None
    for k, d in enumerate(query[:-2]):
        unite(d, key[k])
        unite(d, value[k])
    unite(query[-1], key[-1])
    for dims in (query, key, value):
        fix(dims[-2])
    mask = kwargs.get("attn_mask", kwargs.get("attn_bias"))
    if isinstance(mask, Tensor):
        _unite_right(recording.dims(mask), [*query[:-1], key[-2]])
    out = [*query[:-1], value[-1]]
    return [out, *([None] * (len(_outputs(result)) - 1))]


def _outputs(result: Any) -> list[Tensor]:
    """Tensors of a result."""
    return [result] if isinstance(result, Tensor) else [t for t in result if isinstance(t, Tensor)]
