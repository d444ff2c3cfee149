"""Quantiles and the median, of type 7; no data are null, and NaN in arrays of floats. Lazy."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.overrides._reduction import (
    array_of,
    axes_of,
    floating,
    in_place,
    is_numbers,
    numbers_of,
    reduce_numbers,
)
from processes.overrides.logic import Axis, is_lazy, missing


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
    if is_numbers(data):
        found = _quantiles(numbers_of(data, "quantiles"), wanted, ignore_nodata, None)
        return [None if missing(value) else value for value in found.tolist()]
    values, axis, _ = array_of(data, "quantiles", axis, keepdims)
    return in_place(_quantiles(values, wanted, ignore_nodata, axis), axis)


def median(data: Any, ignore_nodata: bool = True, *, axis: Axis = None, keepdims: bool = False) -> Any:
    """Return the value that separates the higher half from the lower half; see `mean` for the parameters."""
    return reduce_numbers(_median, "median", data, ignore_nodata, axis, keepdims)


def _median(values: Any, ignore_nodata: bool, axis: Axis, keepdims: bool) -> Any:
    middle = _quantiles(values, np.array([0.5]), ignore_nodata, axis)[0]
    return np.expand_dims(middle, axes_of(values, axis)) if keepdims else middle


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
            raise invalid("probabilities", "quantiles", f"{given} is no number of intervals; it must be at least 2.")
        return np.arange(1, given) / given
    wanted = np.array(given, dtype=np.float64)
    if (np.diff(wanted) < 0).any():
        reason = f"The values passed for parameter `probabilities` must be sorted in ascending order, not {given}."
        raise OpenEOError("AscendingProbabilitiesRequired", reason)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise invalid("probabilities", "quantiles", f"{given} are not all between 0 and 1.")
    return wanted


def _quantiles(values: Any, wanted: NDArray[np.float64], ignore_nodata: bool, axis: Axis) -> Any:
    """Return the quantiles (wanted, ...) along `axis`; the axes of a Dask array become one chunk each."""
    axes = axes_of(values, axis)
    if not is_lazy(values):
        return _sorted_quantiles(values, wanted, ignore_nodata, axes)
    whole = values.rechunk(dict.fromkeys(axes, -1))
    kept = tuple(size for a, size in enumerate(whole.chunks) if a not in axes)
    dtype = floating(values)
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
    flat = values.transpose([*kept, *axes]).astype(floating(values), copy=False)
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
