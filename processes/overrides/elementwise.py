"""Functions of numbers for arrays, lazy or not, that follow IEEE 754 without warnings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import dask.array as da
import numpy as np
from dask.array.core import elemwise


def on_numbers(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of numbers that passes null through and takes arrays.

    Arrays, lazy or not, are worked on element by element. Integers become floats first: those of images would wrap
    around at 0 and 255. Operands are passed by keyword or position, as to `function`.
    """

    @wraps(getattr(function, "func", function))
    def call(*values: Any, **named: Any) -> Any:
        operands = [*values, *named.values()]
        if any(operand is None for operand in operands):
            return None
        by_position = partial(_by_position, function, len(values), tuple(named))
        if any(isinstance(operand, np.ndarray | da.Array) for operand in operands):
            return quietly(by_position, *map(floats, operands))
        # NumPy's numbers, unlike Python's, can be divided by 0.
        result = float(quietly(by_position, *map(np.float64, operands)))
        are_integers = all(isinstance(operand, int) for operand in operands) and result.is_integer()
        return int(result) if are_integers else result

    return call


def quietly(function: Callable[..., Any], *operands: Any, dtype: Any = None) -> Any:
    """Return an element-wise function of arrays and numbers, block by block where one is lazy, as an array.

    Infinities and NaN are what the specification wants, not worth a warning. `dtype` spares Dask to find out.
    """
    if not any(isinstance(operand, da.Array) for operand in operands):
        return _silent(function, *operands)
    return elemwise(partial(_silent, function), *operands, **({} if dtype is None else {"dtype": dtype}))


def reduced(operation: Callable[..., Any], values: Any, axis: Any, keepdims: bool, dtype: Any = None) -> Any:
    """Return an array reduced by `np.sum` or `np.prod`, lazily if it is lazy, without warnings as `quietly`."""
    quiet = partial(_silent, operation, dtype=operation(np.ones(1, values.dtype), dtype=dtype).dtype)
    if not isinstance(values, da.Array):
        return quiet(values, axis=axis, keepdims=keepdims)
    dtype = quiet.keywords["dtype"]
    return da.reduction(values, chunk=quiet, aggregate=quiet, axis=axis, keepdims=keepdims, dtype=dtype)


def floats(operand: Any) -> Any:
    """Return integers of arrays as floats, as narrow as holds them; anything else as it is."""
    if isinstance(operand, np.ndarray | da.Array) and operand.dtype.kind in "biu":
        return operand.astype(np.result_type(operand.dtype, np.float32))
    return operand


def holding(dtype: np.dtype[Any], *numbers: float | None) -> np.dtype[Any]:
    """Return the type that holds values of `dtype` and these numbers: integers would wrap round. Floats stay as wide.

    Null is NaN, which wants floats.
    """
    for number in numbers:
        if dtype.kind in "fc":
            return dtype
        whole = number is not None and np.isfinite(number) and float(number).is_integer()
        if not (isinstance(number, bool) and dtype.kind == "b"):
            dtype = np.result_type(
                dtype, np.min_scalar_type(int(number)) if whole and number is not None else np.float32
            )
    return dtype


def _silent(function: Callable[..., Any], *operands: Any, **named: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(function(*operands, **named))


def _by_position(function: Callable[..., Any], positional: int, names: tuple[str, ...], *operands: Any) -> Any:
    named = dict(zip(names, operands[positional:], strict=True))
    return function(*operands[:positional], **named)
