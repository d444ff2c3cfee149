"""Reducers of numbers that know no data: null, and NaN in arrays of floats.

Floats keep their precision; sums are accumulated in float64, so that chunks make no difference.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from processes.overrides._reduction import (
    array_of,
    axes_of,
    floating,
    in_place,
    is_numbers,
    reduce_numbers,
)
from processes.overrides.elementwise import quietly, reduced
from processes.overrides.logic import Axis, is_lazy, missing


def mean(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the arithmetic mean: the sum of all elements divided by their number.

    Parameters
    ----------
    data : list of numbers or arrays, or array
        Solely no-data values, or none at all, give no data.
    ignore_nodata : bool
        If false, any no-data value in the array results in no data.
    axis : int or tuple of int, optional
        Along which to reduce an array; all of them by default.
    keepdims : bool
        Keep the reduced axes with length 1.
    """
    return reduce_numbers(_mean, "mean", data, ignore_nodata, axis, keepdims)


def sum_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sum of all elements; see `mean` for the parameters."""
    return reduce_numbers(_sum, "sum", data, ignore_nodata, axis, keepdims)


def product(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the product of all elements; see `mean` for the parameters."""
    return reduce_numbers(_product, "product", data, ignore_nodata, axis, keepdims)


def min_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the smallest value; see `mean` for the parameters."""
    return reduce_numbers(_min, "min", data, ignore_nodata, axis, keepdims)


def max_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the largest value; see `mean` for the parameters."""
    return reduce_numbers(_max, "max", data, ignore_nodata, axis, keepdims)


def variance(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sample variance, the square of `sd`; see `mean` for the parameters. NaN for a single number."""
    return reduce_numbers(_variance, "variance", data, ignore_nodata, axis, keepdims)


def sd(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sample standard deviation, the square root of `variance`; see `mean` for the parameters."""
    return reduce_numbers(partial(_variance, root=True), "sd", data, ignore_nodata, axis, keepdims)


def extrema(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the minimum and the maximum, in that order.

    A list of two for a list of numbers. For arrays they take the place of the reduced `axis`, or come first when
    several are reduced. `keepdims` makes no difference.
    """
    if is_numbers(data):
        return [min_(data, ignore_nodata), max_(data, ignore_nodata)]
    values, axis, _ = array_of(data, "extrema", axis, keepdims)
    pair = [f(values, ignore_nodata, axis, False) for f in (_min, _max)]
    return in_place(np.stack(pair), axis)


def _filled(values: Any, neutral: float) -> Any:
    return np.where(missing(values), values.dtype.type(neutral), values) if values.dtype.kind == "f" else values


def _blanked(result: Any, values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool, dtype: Any) -> Any:
    """Return `result` of a reduction, of type `dtype`, with NaN where it has no data."""
    if values.dtype.kind != "f":
        return result.astype(dtype, copy=False)
    test = np.all if ignore_nodata else np.any
    gone = test(missing(values), axis=axis, keepdims=keepdims)
    return quietly(partial(_with_gaps, dtype), gone, result, dtype=dtype)


def _with_gaps(dtype: Any, gone: Any, result: Any) -> Any:
    return np.where(gone, np.nan, result).astype(dtype)


def _sum(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    total = reduced(np.sum, _filled(values, 0), axis, keepdims, _wide(values))
    return _blanked(total, values, ignore_nodata, axis, keepdims, _narrow(values, total))


def _product(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    total = reduced(np.prod, _filled(values, 1), axis, keepdims, _wide(values))
    return _blanked(total, values, ignore_nodata, axis, keepdims, _narrow(values, total))


def _mean(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    total = reduced(np.sum, _filled(values, 0), axis, keepdims, np.float64)
    count = np.sum(~missing(values), axis=axis, keepdims=keepdims)
    return _blanked(total / np.maximum(count, 1), values, ignore_nodata, axis, keepdims, floating(values))


def _variance(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool, root: bool = False) -> Any:
    wide, gone = _filled(values, 0).astype(np.float64), missing(values)
    count = np.sum(~gone, axis=axis, keepdims=True)
    total = reduced(np.sum, wide, axis, True)
    if is_lazy(values) and any(values.numblocks[a] > 1 for a in axes_of(values, axis)):
        # In one pass: the deviations from the mean would need all blocks a second time.
        squares = quietly(_about_mean, reduced(np.sum, quietly(np.square, wide), axis, True), total, count)
    else:
        squares = reduced(np.sum, quietly(_squared_deviation, wide, gone, total, count), axis, True)
    # A sample of one has no variance.
    spread = np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan)
    if not keepdims:
        spread = np.squeeze(spread, axis=axis)
    spread = np.sqrt(spread) if root else spread
    return _blanked(spread, values, ignore_nodata, axis, keepdims, floating(values))


def _about_mean(squares: Any, total: Any, count: Any) -> Any:
    return np.maximum(squares - total**2 / np.maximum(count, 1), 0)


def _squared_deviation(x: Any, gone: Any, total: Any, count: Any) -> Any:
    return np.where(gone, 0, (x - total / np.maximum(count, 1)) ** 2)


def _min(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    least = np.min(_filled(values, np.inf), axis=axis, keepdims=keepdims)
    return _blanked(least, values, ignore_nodata, axis, keepdims, values.dtype)


def _max(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    largest = np.max(_filled(values, -np.inf), axis=axis, keepdims=keepdims)
    return _blanked(largest, values, ignore_nodata, axis, keepdims, values.dtype)


def _wide(values: Any) -> Any:
    return np.float64 if values.dtype.kind == "f" else None


def _narrow(values: Any, total: Any) -> Any:
    return values.dtype if values.dtype.kind == "f" else total.dtype
