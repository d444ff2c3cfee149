"""Arrays in, arrays of the same length out: gaps filled, values accumulated. Lazy along the axis of a cube."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

Block = NDArray[Any]


def array_interpolate_linear(data: Any, axis: int | None = None, dim_labels: Any = None) -> Any:
    """Interpolate gaps linearly, "except for leading and trailing NaN and no-data values".

    The values lie at the array's labels where these are numbers or dates, else at their indices.
    """
    return _along(lambda values, at: _interpolated(values, at, _places(dim_labels, values.shape[at])), data, axis)


def cumsum(data: Any, ignore_nodata: bool = True, axis: int | None = None) -> Any:
    """Return the cumulative sums; "no-data values are skipped, but stay in the result"."""
    return _along(partial(_accumulated, np.add, 0, ignore_nodata), data, axis)


def cumproduct(data: Any, ignore_nodata: bool = True, axis: int | None = None) -> Any:
    """Return the cumulative products; no data is skipped, but stays in the result."""
    return _along(partial(_accumulated, np.multiply, 1, ignore_nodata), data, axis)


def cummin(data: Any, ignore_nodata: bool = True, axis: int | None = None) -> Any:
    """Return the smallest values so far; no data is skipped, but stays in the result."""
    return _along(partial(_accumulated, np.minimum, np.inf, ignore_nodata), data, axis)


def cummax(data: Any, ignore_nodata: bool = True, axis: int | None = None) -> Any:
    """Return the largest values so far; no data is skipped, but stays in the result."""
    return _along(partial(_accumulated, np.maximum, -np.inf, ignore_nodata), data, axis)


def _along(function: Callable[[Block, int], Block], data: Any, axis: int | None) -> Any:
    """Call `function` with all of an axis: of a list, of an array, or of each block of a lazy array."""
    if isinstance(data, list | tuple):
        numbers = np.array([np.nan if item is None else item for item in data], float)
        return [None if np.isnan(item) else item for item in function(numbers, 0).tolist()]
    at = 0 if axis is None else axis
    values = data if data.dtype.kind == "f" else data.astype(np.result_type(data.dtype, np.float32))
    if not isinstance(values, da.Array):
        return function(values, at)
    chunks = {at: -1, **{i: "auto" for i in range(values.ndim) if i != at}}
    whole: Any = values if values.numblocks[at] == 1 else values.rechunk(chunks)
    empty = np.empty((0,) * values.ndim, values.dtype)
    return whole.map_blocks(function, at, dtype=values.dtype, meta=empty)


def _places(labels: Any, length: int) -> NDArray[np.float64]:
    """Return where the elements lie."""
    if labels is not None and len(labels) == length:
        known = np.asarray(labels)
        if known.dtype.kind == "M":
            return (known - known[0]).astype("timedelta64[ns]").astype(np.float64) if length else np.zeros(0)
        if known.dtype.kind in "iuf":
            return known.astype(np.float64)
    return np.arange(length, dtype=np.float64)


def _interpolated(values: Block, axis: int, places: NDArray[np.float64]) -> Block:
    """Return the values with gaps filled; all series at once, from the valid neighbours on both sides."""
    series = np.moveaxis(values, axis, -1)
    valid = ~np.isnan(series)
    index = np.broadcast_to(np.arange(series.shape[-1]), series.shape)
    before = np.maximum.accumulate(np.where(valid, index, -1), axis=-1)
    after = np.minimum.accumulate(np.where(valid, index, series.shape[-1])[..., ::-1], axis=-1)[..., ::-1]
    between = ~valid & (before >= 0) & (after < series.shape[-1])
    low, high = np.where(between, before, index), np.where(between, after, index)
    span = np.where(between, places[high] - places[low], 1.0)
    share = (places[index] - places[low]) / span
    left, right = np.take_along_axis(series, low, -1), np.take_along_axis(series, high, -1)
    with np.errstate(invalid="ignore"):  # infinities among the neighbours
        filled = left + (right - left) * share
    result = np.where(between, filled, series).astype(values.dtype)
    return np.moveaxis(result, -1, axis)


def _accumulated(operation: np.ufunc, neutral: float, ignore_nodata: bool, values: Block, axis: int) -> Block:
    missing = np.isnan(values)
    filled = np.where(missing, np.asarray(neutral, values.dtype), values)
    if not ignore_nodata:
        missing = np.logical_or.accumulate(missing, axis=axis)
    with np.errstate(all="ignore"):  # 0 times infinity
        accumulated: Block = operation.accumulate(filled, axis=axis)
    return np.where(missing, np.asarray(np.nan, values.dtype), accumulated)
