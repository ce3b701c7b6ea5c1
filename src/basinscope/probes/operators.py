"""Symmetric matrices that users supply in place of the Hessian, as functions of flat torch vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from basinscope.errors import InputError
from basinscope.landscape.module.loss import first_line
from basinscope.memory import is_out_of_memory
from basinscope.probes.lanczos import Product, dot
from basinscope.seeds import generator

ASYMMETRY = {torch.float32: 1e-3, torch.float64: 1e-6}
"""Largest relative asymmetry that counts as rounding, by the precision of the vectors."""
ORDER = "its entries are those of the moved tensors in the order of landscape.filters; one_dim='moved' moves biases too"


def as_product(operator: Any, size: int, like: Tensor) -> Product:
    """Wrap a matrix, a linear operator or a function so that it multiplies flat vectors.

    Args:
        operator: Anything with `@` on a flat vector: a numpy or torch matrix, a `LinearOperator` of scipy, an operator
            of curvlinops; or a function of a flat torch vector. Those of numpy and scipy get numpy vectors, all others
            torch vectors; in the operator's own precision and on its device if it states them.
        size: Number of moved entries.
        like: A tensor whose device and precision results get.

    Returns:
        The product. It raises `InputError` if the operator raises an error, or returns something that is not a finite
        real vector of this size.

    Raises:
        InputError: The operator is none of these, or has the wrong shape.
    """
    shape = getattr(operator, "shape", None)
    if shape is not None and tuple(shape) != (size, size):
        raise InputError(
            f"curvature: operator: its shape is {tuple(shape)}, but there are {size:,} moved entries: {ORDER}"
        )
    multiply = _multiplication(operator, like)

    def product(vector: Float[Tensor, " size"]) -> Float[Tensor, " size"]:
        try:
            # Operators of curvature differentiate inside.
            with torch.enable_grad():
                found = multiply(vector)
        except Exception as error:
            if isinstance(error, InputError) or is_out_of_memory(error):
                raise
            kind = type(error).__name__
            raise InputError(f"curvature: operator: {kind} in its product: {first_line(error)}") from error
        return _as_vector(found, size, like)

    return product


def refuse_asymmetric(product: Product, size: int, like: Tensor, seed: int) -> None:
    """Check a matrix for symmetry with two random vectors x and y.

    <Ax, y> and <x, Ay> may differ by `ASYMMETRY` times their typical size, ‖Ax‖·‖y‖/√n, in which ‖A − Aᵀ‖ / ‖A‖
    (Frobenius norms) is what is seen on average.

    Raises:
        InputError: They differ by more.
    """
    stream = generator(seed, "symmetry")
    x, y = (torch.randn(size, generator=stream).to(like) for _ in range(2))
    first, second = product(x), product(y)
    typical = 0.5 * (float(first.norm() * y.norm()) + float(second.norm() * x.norm())) / size**0.5
    difference, limit = abs(dot(first, y) - dot(second, x)), ASYMMETRY[like.dtype]
    if difference > limit * typical:
        raise InputError(
            f"curvature: operator: not symmetric: <Ax, y> and <x, Ay> differ by {difference / typical:.2g} of their "
            f"typical size, at most {limit:g} is rounding; symmetrise it, and use the same batches in every product"
        )


def _multiplication(operator: Any, like: Tensor) -> Callable[[Tensor], Any]:
    """How to apply an operator to a torch vector."""
    from scipy.sparse.linalg import LinearOperator

    if isinstance(operator, Tensor):
        real = operator.is_floating_point() or operator.is_complex()
        matrix = operator.detach() if real else operator.detach().to(like.dtype)
        return lambda vector: matrix @ vector.to(matrix.device, matrix.dtype)
    dtype = getattr(operator, "dtype", None)
    has_matmul = hasattr(type(operator), "__matmul__")
    if has_matmul and (isinstance(dtype, np.dtype) or isinstance(operator, LinearOperator)):
        kept = dtype if isinstance(dtype, np.dtype) and dtype.kind == "f" else np.float64
        return lambda vector: operator @ vector.cpu().numpy().astype(kept)
    if has_matmul:
        own = dtype if isinstance(dtype, torch.dtype) and dtype.is_floating_point else like.dtype
        device = getattr(operator, "device", None)
        place = device if isinstance(device, torch.device | str) else like.device
        return lambda vector: operator @ vector.to(place, own)
    if callable(operator):
        return operator
    raise InputError(
        f"curvature: operator is a {type(operator).__name__}: pass a matrix, an operator with @, or a function of a "
        "flat vector"
    )


def _as_vector(found: Any, size: int, like: Tensor) -> Float[Tensor, " size"]:
    """Convert a product to a torch vector.

    Raises:
        InputError: It is not a finite real vector of this size.
    """
    if not isinstance(found, Tensor | np.ndarray):
        raise InputError(f"curvature: operator: returns a {type(found).__name__}, not a numpy array or a tensor")
    if tuple(found.shape) not in ((size,), (size, 1), (1, size)):
        raise InputError(
            f"curvature: operator: returns the shape {tuple(found.shape)}, but {size:,} entries are moved: {ORDER}"
        )
    if isinstance(found, np.ndarray):
        if found.dtype.kind not in "fiu":
            raise InputError(f"curvature: operator: returns {found.dtype} numbers; they must be real")
        found = torch.tensor(np.asarray(found, dtype=np.float32 if found.dtype == np.float32 else np.float64))
    if found.is_complex():
        raise InputError(f"curvature: operator: returns {found.dtype} numbers; they must be real")
    vector = found.detach().reshape(-1).to(like)
    if not vector.isfinite().all():
        raise InputError("curvature: operator: its product with a random vector is not finite")
    return vector
