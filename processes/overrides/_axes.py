"""Arrays as processes get them: plain lists, labelled arrays, and one axis of all pixels of a cube at once.

Plain lists are lists in and lists out, with None as no-data. Inside of callbacks the array is one axis of a NumPy or
Dask array; there `axis` names it, `dim_labels` holds its labels while its length is the original one, and with
`keepdims` results of a single value keep the axis. No-data is NaN; nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from processes.overrides._dims import da

ARRAYS = (np.ndarray, da.Array)


def is_array(value: Any) -> bool:
    return isinstance(value, ARRAYS) and value.ndim > 0


def is_null(value: Any) -> bool:
    """Tell whether one value is no-data."""
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def plain_list(data: Any) -> list[Any] | None:
    """Return a list without arrays in it, None for everything else."""
    if isinstance(data, list | tuple) and not any(is_array(item) for item in data):
        return list(data)
    return None


def on_axis(data: Any, axis: int | None, labels: Any, keepdims: bool = False) -> tuple[Any, int, np.ndarray | None]:
    """Return an array, its axis and the labels along it, None if there are none.

    Labels that are not as many as the elements belong to the array that this one was made from.
    """
    if isinstance(data, xr.DataArray):
        at = 0 if axis is None else axis
        dim = data.dims[at]
        return data.data, at, np.asarray(data[dim].values) if dim in data.coords else None
    if isinstance(data, list | tuple):
        data, at = _join(list(data), axis, keepdims)
    else:
        at = (data.ndim - 1 if data.ndim == 1 else 0) if axis is None else axis
    known = labels is not None and len(labels) == data.shape[at]
    return data, at, np.asarray(labels) if known else None


def _join(items: list[Any], axis: int | None, keepdims: bool) -> tuple[Any, int]:
    """Return a list whose items are arrays (or numbers) as one array, and its axis.

    With `keepdims` each item still has the axis, as one element or more; one that lost it gets it back.
    """
    at = axis or 0
    size = max(item.ndim for item in items if is_array(item))
    full = keepdims and axis is not None and size > at
    lazy = any(isinstance(item, da.Array) for item in items)
    library = da if lazy else np
    values = [
        np.asarray(np.nan if item is None else item) if not isinstance(item, da.Array) else item for item in items
    ]
    if not full:
        return library.stack(library.broadcast_arrays(*values), axis=at), at
    values = [v[..., np.newaxis] if v.ndim == size - 1 and v.ndim == at and v.ndim else v for v in values]
    shapes = [(*v.shape[:at], 1, *v.shape[at + 1 :]) if v.ndim == size else v.shape for v in values]
    lead = np.broadcast_shapes(*shapes)
    parts = []
    for v in values:
        length = v.shape[at] if v.ndim == size else 1
        parts.append(library.broadcast_to(v, (*lead[:at], length, *lead[at + 1 :])))
    return library.concatenate(parts, axis=at), at


def labelled(values: Any, labels: np.ndarray | None, data: Any) -> Any:
    """Return a labelled array if `data` was one, else the plain values."""
    if isinstance(data, xr.DataArray) and labels is not None and values.ndim == 1:
        return xr.DataArray(values, dims=data.dims, coords={data.dims[0]: labels})
    return values


def along_axis(
    function: Callable[[Any], Any], values: Any, axis: int, length: int | None = None, dtype: Any = None
) -> Any:
    """Apply `function`, which needs all of an axis, to each block; `length` is that of the axis afterwards."""
    if not isinstance(values, da.Array):
        return function(values)
    whole = values.rechunk({axis: -1})
    size = values.shape[axis] if length is None else length
    chunks = tuple((size,) if i == axis else c for i, c in enumerate(whole.chunks))
    kind = values.dtype if dtype is None else dtype
    return whole.map_blocks(function, dtype=kind, chunks=chunks, meta=np.empty((0,) * values.ndim, kind))


def where_null(values: Any) -> Any:
    """Return where an array has no data."""
    if values.dtype.kind in "fc":
        return np.isnan(values)
    if values.dtype.kind in "mM":
        return np.isnat(values)
    if values.dtype.kind == "O":
        return np.vectorize(is_null, otypes=[bool])(values)
    return np.zeros_like(values, dtype=bool)


def single(values: Any, axis: int, keepdims: bool) -> Any:
    """Return an axis of length 1 as it is or without it."""
    return values if keepdims else values[(slice(None),) * axis + (0,)]


def nothing(values: Any, axis: int, keepdims: bool) -> Any:
    """Return no-data of the shape that one element has."""
    shape = tuple(1 if i == axis else n for i, n in enumerate(values.shape))
    if isinstance(values, da.Array):
        chunks = tuple((1,) if i == axis else c for i, c in enumerate(values.chunks))
        return single(da.full(shape, np.nan, chunks=chunks), axis, keepdims)
    return single(np.full(shape, np.nan), axis, keepdims)


def positions(length: int, axis: int, ndim: int) -> np.ndarray:
    """Return 0, 1, 2, ... in a shape that broadcasts along the axis."""
    return np.arange(length).reshape([-1 if i == axis else 1 for i in range(ndim)])


def masked(values: Any, wanted: Any) -> Any:
    """Return the values where wanted, else no-data; integers become floats for it."""
    library = da if isinstance(values, da.Array) or isinstance(wanted, da.Array) else np
    dtype = values.dtype if values.dtype.kind in "fc" else np.result_type(values.dtype, np.float32)
    return library.where(wanted, values.astype(dtype), np.array(np.nan, dtype))
