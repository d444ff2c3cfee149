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
from processes.overrides._tree import Fold, Spread, tree_reduced
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
    if _is_lazy_float(values):
        return tree_reduced(Fold(np.add, 0), values, ignore_nodata, axes_of(values, axis), keepdims)
    total = reduced(np.sum, _filled(values, 0), axis, keepdims, _wide(values))
    return _blanked(total, values, ignore_nodata, axis, keepdims, _narrow(values, total))


def _product(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    if _is_lazy_float(values):
        return tree_reduced(Fold(np.multiply, 1), values, ignore_nodata, axes_of(values, axis), keepdims)
    total = reduced(np.prod, _filled(values, 1), axis, keepdims, _wide(values))
    return _blanked(total, values, ignore_nodata, axis, keepdims, _narrow(values, total))


def _mean(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    if is_lazy(values):
        wide = values.astype(floating(values))
        return tree_reduced(Fold(np.add, 0, mean=True), wide, ignore_nodata, axes_of(values, axis), keepdims)
    total = reduced(np.sum, _filled(values, 0), axis, keepdims, np.float64)
    count = np.sum(~missing(values), axis=axis, keepdims=keepdims)
    return _blanked(total / np.maximum(count, 1), values, ignore_nodata, axis, keepdims, floating(values))


def _variance(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool, root: bool = False) -> Any:
    axes, keeper = axes_of(values, axis), Spread(root)
    if is_lazy(values):
        return tree_reduced(keeper, values.astype(floating(values)), ignore_nodata, axes, keepdims)
    with np.errstate(all="ignore"):
        spread = keeper.finish(keeper.start(values, axes))
    spread = spread if keepdims else np.squeeze(spread, axis=axes)
    return _blanked(spread, values, ignore_nodata, axis, keepdims, floating(values))


def _min(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    return reduced(partial(_extreme, np.fmin if ignore_nodata else np.minimum), values, axis, keepdims, values.dtype)


def _max(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    return reduced(partial(_extreme, np.fmax if ignore_nodata else np.maximum), values, axis, keepdims, values.dtype)


def _extreme(operation: np.ufunc, values: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the least or largest value; fmin and fmax pass over NaN, minimum and maximum pass it on."""
    return operation.reduce(values, axis=axis, keepdims=keepdims)


def _is_lazy_float(values: Any) -> bool:
    return is_lazy(values) and values.dtype.kind == "f"


def _wide(values: Any) -> Any:
    return np.float64 if values.dtype.kind == "f" else None


def _narrow(values: Any, total: Any) -> Any:
    return values.dtype if values.dtype.kind == "f" else total.dtype
