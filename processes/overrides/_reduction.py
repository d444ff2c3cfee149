"""What reducers of numbers share.

They take lists of numbers (and answer with plain numbers or null), NumPy and Dask arrays, and lists of arrays, which
are reduced element by element. Dask arrays stay lazy.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processes.errors import invalid
from processes.overrides.logic import Axis, is_array, missing, plain_value, stacked

Reducer = Callable[[Any, bool, Axis, bool], Any]


def reduce_numbers(reducer: Reducer, process: str, data: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    if not is_numbers(data):
        values, axis, keepdims = array_of(data, process, axis, keepdims)
        return reducer(values, ignore_nodata, axis, keepdims)
    values = numbers_of(data, process)
    gone = missing(values)
    if gone.all() or (gone.any() and not ignore_nodata):
        return None
    with np.errstate(all="ignore"):
        return reducer(values[~gone], True, None, False).item()


def is_numbers(data: Any) -> bool:
    return not is_array(data) and not any(is_array(value) for value in data)


def numbers_of(data: Sequence[Any], process: str) -> NDArray[Any]:
    values = [np.nan if value is None else plain_value(value) for value in data]
    if not all(isinstance(value, builtins.int | float) for value in values):
        raise invalid("data", process, "it must be an array of numbers and nulls.")
    return np.array(values, dtype=float) if not all(isinstance(v, builtins.int) for v in values) else np.array(values)


def array_of(data: Any, process: str, axis: Axis, keepdims: bool) -> tuple[Any, Axis, bool]:
    """Return what to reduce, and along which axis; a list of arrays has its own."""
    values, axis, keepdims = (data, axis, keepdims) if is_array(data) else (stacked(data), 0, False)
    if values.dtype.kind == "O":
        values = values.astype(float)
    if values.dtype.kind not in "biuf":
        raise invalid("data", process, f"it must be numbers, not {values.dtype}.")
    return values, axis, keepdims


def floating(values: Any) -> Any:
    return values.dtype if values.dtype.kind == "f" else np.float64


def axes_of(values: Any, axis: Axis) -> tuple[int, ...]:
    chosen = tuple(range(values.ndim)) if axis is None else (axis,) if isinstance(axis, builtins.int) else tuple(axis)
    return tuple(sorted(a % values.ndim for a in chosen))


def in_place(result: Any, axis: Axis) -> Any:
    """Move a new first axis to where a single axis was reduced."""
    return np.moveaxis(result, 0, axis) if isinstance(axis, builtins.int) else result
