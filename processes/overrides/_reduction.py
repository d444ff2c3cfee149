"""What reducers of numbers share.

They take lists of numbers (and answer with plain numbers or null), NumPy and Dask arrays, and lists of arrays, which
are reduced element by element. Dask arrays stay lazy.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processes.errors import invalid
from processes.overrides._dims import da
from processes.overrides.logic import Axis, is_array, is_lazy, missing, plain_value, stacked

Reducer = Callable[[Any, bool, Axis, bool], Any]


def reduce_numbers(reducer: Reducer, process: str, data: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    if not is_numbers(data):
        values, axis, keepdims = array_of(data, process, axis, keepdims)
        if is_lazy(values) and all(values.numblocks[a] == 1 for a in axes_of(values, axis)):
            return _block_by_block(partial(_quiet, reducer), values, ignore_nodata, axis, keepdims)
        return reducer(values, ignore_nodata, axis, keepdims)
    values = numbers_of(data, process)
    gone = missing(values)
    if gone.all() or (gone.any() and not ignore_nodata):
        return None
    with np.errstate(all="ignore"):
        return reducer(values[~gone], True, None, False).item()


def _block_by_block(reducer: Reducer, values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    """Reduce axes that blocks have all of: one task for each block, which Dask joins with what comes before."""
    axes = axes_of(values, axis)
    dtype = reducer(np.ones((1,) * values.ndim, values.dtype), ignore_nodata, axes, True).dtype
    chunks = tuple((1,) if a in axes else sizes for a, sizes in enumerate(values.chunks))
    kept = chunks if keepdims else tuple(sizes for a, sizes in enumerate(chunks) if a not in axes)
    return values.map_blocks(
        reducer,
        ignore_nodata,
        axes,
        keepdims,
        dtype=dtype,
        chunks=kept,
        drop_axis=[] if keepdims else list(axes),
        meta=np.empty((0,) * len(kept), dtype),
    )


def _quiet(reducer: Reducer, values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(reducer(values, ignore_nodata, axis, keepdims))


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
    return _without_gap(values, axis), axis, keepdims


def _without_gap(values: Any, axis: Axis) -> Any:
    """Return no data, once, for an axis without elements, on which most of NumPy's reducers have no answer."""
    empty = [a for a in axes_of(values, axis) if not values.shape[a]]
    if not empty:
        return values
    shape = tuple(1 if a in empty else size for a, size in enumerate(values.shape))
    if not is_lazy(values):
        return np.full(shape, np.nan, floating(values))
    chunks = tuple((1,) if a in empty else sizes for a, sizes in enumerate(values.chunks))
    return da.full(shape, np.nan, dtype=floating(values), chunks=chunks)


def floating(values: Any) -> Any:
    return values.dtype if values.dtype.kind == "f" else np.float64


def axes_of(values: Any, axis: Axis) -> tuple[int, ...]:
    chosen = tuple(range(values.ndim)) if axis is None else (axis,) if isinstance(axis, builtins.int) else tuple(axis)
    return tuple(sorted(a % values.ndim for a in chosen))


def in_place(result: Any, axis: Axis) -> Any:
    """Move a new first axis to where a single axis was reduced."""
    return np.moveaxis(result, 0, axis) if isinstance(axis, builtins.int) else result
