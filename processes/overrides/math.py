"""Statistics and arithmetic that know no data: null, and NaN in arrays of floats.

Reducers take lists of numbers (and answer with plain numbers or null), NumPy and Dask arrays, and lists of arrays,
which are reduced element by element. Dask arrays stay lazy. Floats keep their precision; sums are accumulated in
float64, so that chunks make no difference.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from dask.array.core import elemwise
from numpy.typing import NDArray

from processes.errors import OpenEOError
from processes.overrides.logic import Axis, is_array, is_lazy, missing, plain_value, stacked

Reducer = Callable[[Any, bool, Axis, bool], Any]


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
    return _reduce(_mean, "mean", data, ignore_nodata, axis, keepdims)


def sum_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sum of all elements; see `mean` for the parameters."""
    return _reduce(_sum, "sum", data, ignore_nodata, axis, keepdims)


def product(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the product of all elements; see `mean` for the parameters."""
    return _reduce(_product, "product", data, ignore_nodata, axis, keepdims)


def min_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the smallest value; see `mean` for the parameters."""
    return _reduce(_min, "min", data, ignore_nodata, axis, keepdims)


def max_(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the largest value; see `mean` for the parameters."""
    return _reduce(_max, "max", data, ignore_nodata, axis, keepdims)


def variance(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sample variance, the square of `sd`; see `mean` for the parameters. NaN for a single number."""
    return _reduce(_variance, "variance", data, ignore_nodata, axis, keepdims)


def sd(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the sample standard deviation, the square root of `variance`; see `mean` for the parameters."""
    return _reduce(lambda *args: np.sqrt(_variance(*args)), "sd", data, ignore_nodata, axis, keepdims)


def median(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the value that separates the higher half from the lower half; see `mean` for the parameters."""
    return _reduce(_median, "median", data, ignore_nodata, axis, keepdims)


def extrema(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the minimum and the maximum, in that order.

    A list of two for a list of numbers. For arrays they take the place of the reduced `axis`, or come first when
    several are reduced. `keepdims` makes no difference.
    """
    if _is_numbers(data):
        return [min_(data, ignore_nodata), max_(data, ignore_nodata)]
    values, axis, _ = _array(data, "extrema", axis, keepdims)
    pair = [f(values, ignore_nodata, axis, False) for f in (_min, _max)]
    return _in_place(np.stack(pair), axis)


def quantiles(
    data: Any,
    probabilities: Sequence[float] | int | None = None,
    q: int | None = None,
    ignore_nodata: bool = True,
    *,
    axis: Axis = None,
    keepdims: bool = False,
) -> Any:
    """Return quantiles: cut points that divide the range of a sample distribution (Hyndman and Fan's type 7).

    Parameters
    ----------
    data : list of numbers or arrays, or array
    probabilities : list of float in ascending order, or int
        Probabilities between 0 and 1, or the number of equal-sized intervals.
    q : int, optional
        The number of intervals. Deprecated: use `probabilities`.
    ignore_nodata, axis, keepdims
        See `mean`; the quantiles take the place of the reduced axis, or come first when several are reduced.

    Raises
    ------
    OpenEOError
        QuantilesParameterMissing, QuantilesParameterConflict, AscendingProbabilitiesRequired.
    """
    wanted = _probabilities(probabilities, q)
    if _is_numbers(data):
        found = _quantiles(_numbers(data, "quantiles"), wanted, ignore_nodata, None)
        return [None if missing(value) else value for value in found.tolist()]
    values, axis, _ = _array(data, "quantiles", axis, keepdims)
    return _in_place(_quantiles(values, wanted, ignore_nodata, axis), axis)


def linear_scale_range(x: Any, inputMin: Any, inputMax: Any, outputMin: Any = 0.0, outputMax: Any = 1.0) -> Any:
    """Return `x`, clipped to the input range, transformed linearly to the output range; no data passes through."""
    if inputMin == inputMax:
        reason = f"inputMin and inputMax are both {inputMin}; a range needs two different bounds."
        raise _invalid("inputMax", "linear_scale_range", reason)
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


def _reduce(reducer: Reducer, process: str, data: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    if not _is_numbers(data):
        values, axis, keepdims = _array(data, process, axis, keepdims)
        return reducer(values, ignore_nodata, axis, keepdims)
    values = _numbers(data, process)
    gone = missing(values)
    if gone.all() or (gone.any() and not ignore_nodata):
        return None
    with np.errstate(all="ignore"):
        return reducer(values[~gone], True, None, False).item()


def _is_numbers(data: Any) -> bool:
    return not is_array(data) and not any(is_array(value) for value in data)


def _numbers(data: Sequence[Any], process: str) -> NDArray[Any]:
    values = [np.nan if value is None else plain_value(value) for value in data]
    if not all(isinstance(value, builtins.int | float) for value in values):
        raise _invalid("data", process, "it must be an array of numbers and nulls.")
    return np.array(values, dtype=float) if not all(isinstance(v, builtins.int) for v in values) else np.array(values)


def _array(data: Any, process: str, axis: Axis, keepdims: bool) -> tuple[Any, Axis, bool]:
    """Return what to reduce, and along which axis; a list of arrays has its own."""
    values, axis, keepdims = (data, axis, keepdims) if is_array(data) else (stacked(data), 0, False)
    if values.dtype.kind == "O":
        values = values.astype(float)
    if values.dtype.kind not in "biuf":
        raise _invalid("data", process, f"it must be numbers, not {values.dtype}.")
    return values, axis, keepdims


def _filled(values: Any, neutral: float) -> Any:
    return np.where(missing(values), values.dtype.type(neutral), values) if values.dtype.kind == "f" else values


def _blanked(result: Any, values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    """Return `result` of a reduction with NaN where it has no data."""
    if values.dtype.kind != "f":
        return result
    test = np.all if ignore_nodata else np.any
    gone = test(missing(values), axis=axis, keepdims=keepdims)
    return np.where(gone, result.dtype.type(np.nan), result)


def _sum(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    total = np.sum(_filled(values, 0), axis=axis, keepdims=keepdims, dtype=_wide(values))
    return _blanked(total, values, ignore_nodata, axis, keepdims).astype(_narrow(values, total), copy=False)


def _product(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    total = np.prod(_filled(values, 1), axis=axis, keepdims=keepdims, dtype=_wide(values))
    return _blanked(total, values, ignore_nodata, axis, keepdims).astype(_narrow(values, total), copy=False)


def _mean(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    total = np.sum(_filled(values, 0), axis=axis, keepdims=keepdims, dtype=np.float64)
    count = np.sum(~missing(values), axis=axis, keepdims=keepdims)
    average = total / np.maximum(count, 1)
    return _blanked(average, values, ignore_nodata, axis, keepdims).astype(_floating(values), copy=False)


def _variance(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    wide = values.astype(np.float64)
    count = np.sum(~missing(values), axis=axis, keepdims=True)
    total = np.sum(_filled(wide, 0), axis=axis, keepdims=True)
    if is_lazy(values) and any(values.numblocks[a] > 1 for a in _axes(values, axis)):
        # In one pass: the deviations from the mean would need all blocks a second time.
        squares = np.sum(_filled(wide**2, 0), axis=axis, keepdims=True) - total**2 / np.maximum(count, 1)
        squares = np.maximum(squares, 0)
    else:
        squares = np.sum(_filled((wide - total / np.maximum(count, 1)) ** 2, 0), axis=axis, keepdims=True)
    # A sample of one has no variance.
    spread = np.where(count > 1, squares / np.maximum(count - 1, 1), np.nan)
    if not keepdims:
        spread = np.squeeze(spread, axis=axis)
    return _blanked(spread, values, ignore_nodata, axis, keepdims).astype(_floating(values), copy=False)


def _min(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    least = np.min(_filled(values, np.inf), axis=axis, keepdims=keepdims)
    return _blanked(least, values, ignore_nodata, axis, keepdims)


def _max(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    largest = np.max(_filled(values, -np.inf), axis=axis, keepdims=keepdims)
    return _blanked(largest, values, ignore_nodata, axis, keepdims)


def _median(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    middle = _quantiles(values, np.array([0.5]), ignore_nodata, axis)[0]
    return np.expand_dims(middle, _axes(values, axis)) if keepdims else middle


def _wide(values: Any) -> Any:
    return np.float64 if values.dtype.kind == "f" else None


def _narrow(values: Any, total: Any) -> Any:
    return values.dtype if values.dtype.kind == "f" else total.dtype


def _floating(values: Any) -> Any:
    return values.dtype if values.dtype.kind == "f" else np.float64


def _axes(values: Any, axis: Axis) -> tuple[int, ...]:
    chosen = tuple(range(values.ndim)) if axis is None else (axis,) if isinstance(axis, builtins.int) else tuple(axis)
    return tuple(sorted(a % values.ndim for a in chosen))


def _in_place(result: Any, axis: Axis) -> Any:
    """Move a new first axis to where a single axis was reduced."""
    return np.moveaxis(result, 0, axis) if isinstance(axis, builtins.int) else result


def _probabilities(probabilities: Sequence[float] | int | None, q: int | None) -> NDArray[np.float64]:
    if probabilities is None and q is None:
        reason = "The process `quantiles` requires either the `probabilities` or `q` parameter to be set."
        raise OpenEOError("QuantilesParameterMissing", reason)
    if probabilities is not None and q is not None:
        reason = "The process `quantiles` only allows that either the `probabilities` or the `q` parameter is set."
        raise OpenEOError("QuantilesParameterConflict", reason)
    given = q if probabilities is None else probabilities
    if isinstance(given, builtins.int | float):
        if given < 2 or given != builtins.int(given):
            raise _invalid("probabilities", "quantiles", f"{given} is no number of intervals; it must be at least 2.")
        return np.arange(1, given) / given
    wanted = np.array(given, dtype=np.float64)
    if (np.diff(wanted) < 0).any():
        reason = f"The values passed for parameter `probabilities` must be sorted in ascending order, not {given}."
        raise OpenEOError("AscendingProbabilitiesRequired", reason)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise _invalid("probabilities", "quantiles", f"{given} are not all between 0 and 1.")
    return wanted


def _quantiles(values: Any, wanted: NDArray[np.float64], ignore_nodata: bool, axis: Axis) -> Any:
    """Return the quantiles (wanted, ...) along `axis`; the axes of a Dask array become one chunk each."""
    axes = _axes(values, axis)
    if not is_lazy(values):
        return _sorted_quantiles(values, wanted, ignore_nodata, axes)
    whole = values.rechunk(dict.fromkeys(axes, -1))
    kept = tuple(size for a, size in enumerate(whole.chunks) if a not in axes)
    dtype = _floating(values)
    return whole.map_blocks(
        _sorted_quantiles,
        wanted=wanted,
        ignore_nodata=ignore_nodata,
        axes=axes,
        drop_axis=axes,
        new_axis=0,
        chunks=((len(wanted),), *kept),
        dtype=dtype,
        meta=np.empty((0,) * (1 + len(kept)), dtype),
    )


def _sorted_quantiles(
    values: NDArray[Any], wanted: NDArray[np.float64], ignore_nodata: bool, axes: tuple[int, ...]
) -> NDArray[Any]:
    """Return type 7 quantiles: linear between the neighbours of position ``(n - 1) * probability``."""
    kept = [a for a in range(values.ndim) if a not in axes]
    flat = values.transpose([*kept, *axes]).astype(_floating(values), copy=False)
    flat = flat.reshape(*(values.shape[a] for a in kept), -1)
    if not flat.shape[-1]:
        return np.full((len(wanted), *flat.shape[:-1]), np.nan, flat.dtype)
    ordered = np.sort(flat, axis=-1)  # NaN last
    count = np.sum(~np.isnan(flat), axis=-1)
    if not ignore_nodata:
        ordered = np.where((count == flat.shape[-1])[..., None], ordered, np.nan)
    position = np.multiply.outer(wanted, np.maximum(count - 1, 0))
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, np.maximum(count - 1, 0))
    part = (position - below).astype(flat.dtype)
    low, high = (_take(ordered, index) for index in (below, above))
    with np.errstate(invalid="ignore"):
        return np.where(part == 0, low, low + (high - low) * part)


def _take(ordered: NDArray[Any], index: NDArray[np.intp]) -> NDArray[Any]:
    """Return the elements at `index` (wanted, ...) of the last axis of `ordered` (..., n)."""
    return np.moveaxis(np.take_along_axis(ordered, np.moveaxis(index, 0, -1), axis=-1), -1, 0)


def _elementwise(function: Callable[..., Any], *operands: Any) -> Any:
    """Return the function of single values or, in floating point and block by block, of arrays; null gives null."""
    if not any(is_array(operand) for operand in operands):
        if any(operand is None for operand in operands):
            return None
        return _quiet(function, *map(np.float64, operands)).item()
    values = [_float_operand(operand) for operand in operands]
    if not any(is_lazy(value) for value in values):
        return _quiet(function, *values)
    blockwise: Any = elemwise
    return blockwise(partial(_quiet, function), *values, dtype=np.result_type(*values))


def _float_operand(operand: Any) -> Any:
    """Return arrays as floats as narrow as hold them, and null as NaN: a plain number, which does not widen them."""
    if is_array(operand):
        return operand if operand.dtype.kind == "f" else operand.astype(np.result_type(operand.dtype, np.float32))
    return float("nan") if operand is None else float(operand)


def _quiet(function: Callable[..., Any], *values: Any) -> Any:
    """Return the function's value; infinities and NaN are what the specification wants, not worth a warning."""
    with np.errstate(all="ignore"):
        return np.asarray(function(*values))


def _mod(x: Any, y: Any) -> Any:
    # |y|, because -0.0 would turn the sign.
    return np.where(np.equal(y, 0), np.divide(x, builtins.abs(y)), np.mod(x, y))


def _power(base: Any, p: Any) -> Any:
    # NumPy takes 1 to the power of NaN, and NaN to the power of 0, for 1.
    return np.where(np.isnan(base) | np.isnan(p), np.nan, np.power(base, p))


def _invalid(parameter: str, process: str, reason: str) -> OpenEOError:
    message = f"The value passed for parameter '{parameter}' in process '{process}' is invalid: {reason}"
    return OpenEOError("ProcessParameterInvalid", message)
