"""Logic with three values: true, false and no data.

No data is null, and NaN in arrays of floats. Single values and lists of them answer with `bool` or None. Arrays answer
with booleans where no operand can hold no data, as classes cannot; else with floats: 1, 0, and NaN for no data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np

from processes.overrides.elementwise import holding, quietly

Axis = int | tuple[int, ...] | None


def is_array(value: Any) -> bool:
    """Return whether `value` is a NumPy or Dask array (NumPy's single numbers are not)."""
    return isinstance(value, np.ndarray | da.Array)


def is_lazy(value: Any) -> bool:
    """Return whether `value` is a Dask array."""
    return isinstance(value, da.Array)


def plain_value(value: Any) -> Any:
    """Return one of NumPy's single values as Python's; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def missing(value: Any) -> Any:
    """Return where `value` is no data: an array of booleans for arrays, else a boolean. Lazy."""
    if is_array(value):
        if value.dtype.kind == "O":
            return value != value if is_lazy(value) else np.vectorize(missing, otypes=[bool])(value)
        return np.isnan(value) if value.dtype.kind in "fc" else np.zeros_like(value, dtype=bool)
    value = plain_value(value)
    return value is None or (isinstance(value, float) and value != value)


def and_(x: Any, y: Any) -> Any:
    """Return true if both values are true; no data whenever that makes the outcome ambiguous."""
    return in_one_step(_and, x, y)


def or_(x: Any, y: Any) -> Any:
    """Return true if at least one value is true; no data whenever that makes the outcome ambiguous."""
    return in_one_step(_or, x, y)


def xor(x: Any, y: Any) -> Any:
    """Return true if exactly one value is true; no data if any argument is."""
    return in_one_step(_xor, x, y)


def not_(x: Any) -> Any:
    """Return the inverted boolean; no data is passed through."""
    return in_one_step(_not, x)


def if_(value: Any, accept: Any, reject: Any = None) -> Any:
    """Return `accept` where `value` is true, `reject` (null by default) where it is false or no data.

    For an array of values, `accept` and `reject` are numbers, null or arrays that broadcast with it.
    """
    if not is_array(value):
        return accept if _decided(value)[0] else reject
    return np.where(_decided(value)[0], _beside(accept, reject), _beside(reject, accept))


def any_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return true if at least one value is true; false for an empty array.

    With `ignore_nodata` false, no data beside nothing true is no data.
    """
    values, axis, keepdims, single = _values(data, axis, keepdims)
    true, false = _decided(values)
    some = np.any(true, axis=axis, keepdims=keepdims)
    unknown = np.any(~(true | false), axis=axis, keepdims=keepdims)
    if not single:
        return some if ignore_nodata else outcome(some, ~(some | unknown), values)
    return None if not ignore_nodata and unknown and not some else bool(some)


def all_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return true if all values are true; true for an empty array.

    With `ignore_nodata` false, no data beside nothing false is no data.
    """
    values, axis, keepdims, single = _values(data, axis, keepdims)
    true, false = _decided(values)
    none_false = ~np.any(false, axis=axis, keepdims=keepdims)
    unknown = np.any(~(true | false), axis=axis, keepdims=keepdims)
    if not single:
        return none_false if ignore_nodata else outcome(none_false & ~unknown, ~none_false, values)
    return None if not ignore_nodata and unknown and none_false else bool(none_false)


def stacked(values: Sequence[Any]) -> Any:
    """Return numbers and arrays, at least one of which is an array, as one array along a new first axis.

    Null becomes NaN; arrays and numbers are broadcast to a common shape.
    """
    arrays = [_number(value) for value in values]
    return np.stack(np.broadcast_arrays(*arrays))


def _values(data: Any, axis: Axis, keepdims: bool) -> tuple[Any, Axis, bool, bool]:
    """Return what to reduce and along which axis, and whether the result is a single value.

    A list holds what a callback has put together: the axis that is being reduced outside does not concern it.
    """
    if is_array(data):
        return data, axis, keepdims, False
    if any(is_array(value) for value in data):
        return stacked(data), 0, False, False
    return np.array([None if missing(value) else bool(value) for value in data], dtype=object), None, False, True


def _decided(value: Any) -> tuple[Any, Any]:
    """Return where `value` is true, and where it is false."""
    if is_array(value):
        if value.dtype == bool:
            return value, ~value
        gone = missing(value)
        filled = np.where(gone, 0, value) if value.dtype.kind != "O" else np.where(gone, False, value)
        true = filled.astype(bool)
        return true, ~(true | gone)
    gone = missing(value)
    return (not gone and bool(value)), (not gone and not bool(value))


def in_one_step(function: Callable[..., Any], *operands: Any) -> Any:
    """Return a function's `outcome`, of lazy arrays by one step for each block: each step costs time and tasks."""
    arrays = [operand for operand in operands if is_array(operand)]
    if not any(map(is_lazy, arrays)):
        return function(*operands)
    others = tuple(None if is_array(operand) else operand for operand in operands)
    beside = partial(_beside_others, function, others, tuple(map(is_array, operands)))
    return quietly(beside, *arrays, dtype=np.float32 if any(map(_has_gaps, operands)) else bool)


def _beside_others(function: Callable[..., Any], others: Sequence[Any], places: Sequence[bool], *arrays: Any) -> Any:
    blocks = iter(arrays)
    return function(*(next(blocks) if place else other for other, place in zip(others, places, strict=True)))


def _and(x: Any, y: Any) -> Any:
    (true_x, false_x), (true_y, false_y) = _decided(x), _decided(y)
    return outcome(true_x & true_y, false_x | false_y, x, y)


def _or(x: Any, y: Any) -> Any:
    (true_x, false_x), (true_y, false_y) = _decided(x), _decided(y)
    return outcome(true_x | true_y, false_x & false_y, x, y)


def _xor(x: Any, y: Any) -> Any:
    (true_x, false_x), (true_y, false_y) = _decided(x), _decided(y)
    return outcome((true_x & false_y) | (false_x & true_y), (true_x & true_y) | (false_x & false_y), x, y)


def _not(x: Any) -> Any:
    true, false = _decided(x)
    return outcome(false, true, x)


def outcome(true: Any, false: Any, *operands: Any) -> Any:
    """Return what is `true`, `false` or neither: of arrays, as told above; of single values a `bool` or None."""
    if not any(is_array(operand) for operand in operands):
        return True if true else False if false else None
    if not any(_has_gaps(operand) for operand in operands):
        return true
    return np.where(true, np.float32(1), np.where(false, np.float32(0), np.float32(np.nan)))


def _has_gaps(operand: Any) -> bool:
    """Tell whether an operand can hold no data."""
    return operand.dtype.kind in "fcO" if is_array(operand) else missing(operand)


def _number(value: Any) -> Any:
    return np.float32(np.nan) if value is None else value


def _beside(value: Any, other: Any) -> Any:
    """Return a number that goes with the array `other` without wrapping round; anything else as it is."""
    if is_array(value) or not is_array(other) or not (value is None or isinstance(value, int | float)):
        return _number(value)
    return np.asarray(np.nan if value is None else value, holding(other.dtype, value))
