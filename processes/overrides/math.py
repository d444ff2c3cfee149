"""Arithmetic that knows no data: null, and NaN in arrays of floats. Dask arrays stay lazy."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from processes.errors import OpenEOError, invalid
from processes.overrides.elementwise import floats, quietly
from processes.overrides.logic import is_array, missing, plain_value


def linear_scale_range(x: Any, inputMin: Any, inputMax: Any, outputMin: Any = 0.0, outputMax: Any = 1.0) -> Any:
    """Return `x`, clipped to the input range, transformed linearly to the output range; no data passes through."""
    if inputMin == inputMax:
        reason = f"inputMin and inputMax are both {inputMin}; a range needs two different bounds."
        raise invalid("inputMax", "linear_scale_range", reason)
    low, high = builtins.min(inputMin, inputMax), builtins.max(inputMin, inputMax)
    slope = (outputMax - outputMin) / (inputMax - inputMin)
    return _elementwise(lambda v: (np.clip(v, low, high) - inputMin) * slope + outputMin, x)


def normalized_difference(x: Any, y: Any) -> Any:
    """Return ``(x - y) / (x + y)``; NaN where both are 0 or one is infinite."""
    return _elementwise(lambda a, b: (a - b) / (a + b), x, y)


def clip(x: Any, min: float, max: float) -> Any:
    """Return `x` limited to the range from `min` to `max`; no data passes through. MinMaxSwapped if they are."""
    if min > max:
        reason = f"The minimum value ({min}) should be lower than or equal to the maximum value ({max}); swap them."
        raise OpenEOError("MinMaxSwapped", reason)
    if not is_array(x):
        return None if x is None else x if missing(x) else builtins.min(builtins.max(x, min), max)
    return np.clip(x, min, max)


def mod(x: Any, y: Any) -> Any:
    """Return the remainder of `x` divided by `y`, with the sign of the divisor.

    A divisor of 0 gives +infinity for positive, -infinity for negative `x`, and NaN for 0.
    """
    return _elementwise(_mod, x, y)


def power(base: Any, p: Any) -> Any:
    """Return `base` raised to the power of `p`; NaN where that is no real number."""
    return _elementwise(_power, base, p)


def int_(x: Any) -> Any:
    """Return the integer part of the real number `x`; arrays keep their type. No data passes through."""
    if is_array(x):
        return x if x.dtype.kind in "iub" else np.trunc(x)
    x = plain_value(x)
    return x if missing(x) or not np.isfinite(x) else builtins.int(x)


def _elementwise(function: Callable[..., Any], *operands: Any) -> Any:
    """Return the function of single values or, in floating point, of arrays; null gives null."""
    if any(is_array(operand) for operand in operands):
        values = [_float_operand(operand) for operand in operands]
        return quietly(function, *values, dtype=np.result_type(*values))
    return None if any(x is None for x in operands) else quietly(function, *map(np.float64, operands)).item()


def _float_operand(operand: Any) -> Any:
    """Return arrays as floats, and null as NaN: a plain number, which does not widen them."""
    if is_array(operand):
        return floats(operand)
    return float("nan") if operand is None else float(operand)


def _mod(x: Any, y: Any) -> Any:
    # |y|, because -0.0 would turn the sign.
    return np.where(np.equal(y, 0), np.divide(x, builtins.abs(y)), np.mod(x, y))


def _power(base: Any, p: Any) -> Any:
    # NumPy takes 1 to the power of NaN, and NaN to the power of 0, for 1.
    return np.where(np.isnan(base) | np.isnan(p), np.nan, np.power(base, p))
