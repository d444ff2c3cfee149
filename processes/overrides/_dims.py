"""Which dimension of a cube is what, and how results of callbacks become cubes again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dask.array
import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import xarray as xr

from processes.errors import OpenEOError, invalid

Callback = Callable[..., Any]
Chunks = tuple[tuple[int, ...], ...]

# Some of Dask's functions have no types, so none is checked.
da: Any = dask.array

TEMPORAL_NAMES = ("t", "time", "temporal")
X_NAMES = ("x", "lon", "longitude")
Y_NAMES = ("y", "lat", "latitude")


def require_cube(data: Any, process: str, parameter: str = "data") -> xr.DataArray:
    """Return `data`; `OpenEOError` ProcessParameterInvalid if it is no data cube."""
    if not isinstance(data, xr.DataArray):
        raise invalid(parameter, process, f"it must be a data cube, not {type(data).__name__}")
    return data


def require_dimension(data: Any, dimension: Any, process: str, parameter: str = "dimension") -> str:
    """Return `dimension` as text; `OpenEOError` DimensionNotAvailable if the cube `data` lacks it."""
    cube = require_cube(data, process)
    if dimension not in cube.dims:
        raise OpenEOError(
            "DimensionNotAvailable",
            f"There is no dimension '{dimension}' (parameter '{parameter}' of '{process}'); there are {_named(cube)}.",
        )
    return str(dimension)


def is_temporal(cube: xr.DataArray, dimension: Any) -> bool:
    """Tell whether the labels of a dimension are dates, or its name says so."""
    if dimension in cube.coords and np.issubdtype(cube[dimension].dtype, np.datetime64):
        return True
    return dimension in TEMPORAL_NAMES


def temporal_dimension(cube: xr.DataArray, dimension: str | None, process: str) -> str:
    """Return the temporal dimension: the one asked for, else the only one there is.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable if there is none, TooManyDimensions if there are several and none is named.
    """
    if dimension is not None:
        return require_dimension(cube, dimension, process)
    found = [str(d) for d in cube.dims if is_temporal(cube, d)]
    if not found:
        raise OpenEOError(
            "DimensionNotAvailable",
            f"'{process}' needs dates, but the cube has no temporal dimension; it has {_named(cube)}.",
        )
    if len(found) > 1:
        raise OpenEOError(
            "TooManyDimensions",
            f"The cube has several temporal dimensions ({', '.join(found)}); name one as 'dimension' of '{process}'.",
        )
    return found[0]


def spatial_dimensions(cube: xr.DataArray) -> tuple[str, str]:
    """Return the dimensions of rows and columns, (y, x); `OpenEOError` DimensionNotAvailable if one lacks."""
    y = next((str(d) for d in cube.dims if d in Y_NAMES), None)
    x = next((str(d) for d in cube.dims if d in X_NAMES), None)
    if y is None or x is None:
        raise OpenEOError(
            "DimensionNotAvailable",
            f"The cube passed for parameter 'data' lacks the spatial dimensions x and y; it has {_named(cube)}.",
        )
    return y, x


def labels_of(cube: xr.DataArray, dimension: str) -> np.ndarray:
    """Return the labels of a dimension, 0, 1, 2, ... where it has none."""
    return np.asarray(cube[dimension].values)


def dates_of(cube: xr.DataArray, dimension: str) -> np.ndarray:
    """Return the labels of a dimension as dates in UTC, (n,) datetime64[ns]; labels may be text."""
    labels = labels_of(cube, dimension)
    try:
        if labels.dtype.kind not in "MUSO":
            raise ValueError
        return labels.astype("datetime64[ns]")
    except (ValueError, TypeError):
        some = ", ".join(map(str, labels[:2]))
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The labels of dimension '{dimension}' are no dates ({some}, ...). Pass a cube whose dates are not "
            "aggregated away, or name another dimension in parameter 'dimension'.",
        ) from None


def reduce_axis(value: Any, reducer: Callback, axis: int, labels: np.ndarray, context: Any) -> Any:
    """Call `reducer` for `axis` of an array; return its result, of the shape without that axis."""
    result = reducer(
        value,
        positional_parameters={"data": 0},
        named_parameters={"context": context},
        axis=axis,
        keepdims=False,
        dim_labels=labels,
    )
    shape = value.shape[:axis] + value.shape[axis + 1 :]
    result = as_values(result)
    if result.ndim == value.ndim and result.shape[axis] == 1:
        result = result.squeeze(axis)
    chunks = chunks_of(value)
    return spread(result, shape, None if chunks is None else chunks[:axis] + chunks[axis + 1 :], "reducer")


def within(process: Callback, dims: Iterable[Any], coords: Mapping[Any, Any], keeps_size: bool = False) -> Callback:
    """Return a callback that knows which dimensions and coordinates the axes of its arrays have in the cube.

    `keeps_size`: what it returns must be of the size of what it gets.
    """
    told = getattr(process, "within", None)
    return process if told is None else told(tuple(dims), coords, keeps_size)


def as_values(result: Any) -> Any:
    """Return what a callback gave as an array; null is no-data."""
    if result is None:
        return np.array(np.nan)
    if isinstance(result, xr.DataArray):
        return result.data
    if isinstance(result, list):
        return np.asarray([np.nan if item is None else item for item in result])
    return result if isinstance(result, da.Array) else np.asarray(result)


def chunks_of(value: Any) -> Chunks | None:
    """Return the chunks of a lazy array, None for any other."""
    return value.chunks if isinstance(value, da.Array) else None


def spread(result: Any, shape: tuple[int, ...], chunks: Chunks | None, parameter: str) -> Any:
    """Return what the callback `parameter` gave, broadcast to `shape`; lazy, in `chunks`, unless these are None."""
    if result.shape == shape:
        return da.asarray(result) if chunks is not None else result
    try:
        np.broadcast_shapes(result.shape, shape)
        return np.array(np.broadcast_to(result, shape)) if chunks is None else _spread_lazily(result, shape, chunks)
    except ValueError:
        raise OpenEOError(
            "ProcessParameterInvalid",
            f"The value passed for parameter '{parameter}' is invalid: it returned an array of shape {result.shape} "
            f"where {shape} was expected. Let it return one value per element.",
        ) from None


def _spread_lazily(result: Any, shape: tuple[int, ...], chunks: Chunks) -> Any:
    """Broadcast a lazy array: axes that it has keep their chunks, new ones get those asked for."""
    lazy = da.asarray(result)
    missing = len(shape) - lazy.ndim
    own = ((),) * missing + lazy.chunks
    wanted = tuple(o if sum(o) == n else c for o, n, c in zip(own, shape, chunks, strict=True))
    return da.broadcast_to(lazy, shape, chunks=wanted)


def rebuild(
    cube: xr.DataArray, values: Any, dims: Iterable[str], labels: Mapping[str, Any] | None = None
) -> xr.DataArray:
    """Return a cube of `values` with what `cube` knows of `dims`: labels, reference system, name and attributes.

    `labels` replaces the labels of the dimensions that it names.
    """
    dims, labels = tuple(dims), dict(labels or {})
    gone = (set(cube.dims) - set(dims)) | set(labels)
    # By way of a dataset, so that indices of geometries stay what they are.
    known = cube.coords.to_dataset()
    known = known.drop_vars([k for k, v in cube.coords.items() if gone & {*v.dims, k}])
    result = xr.DataArray(values, dims=dims, coords=known.coords, name=cube.name, attrs=dict(cube.attrs))
    result = result.assign_coords({k: (k, np.asarray(v)) for k, v in labels.items()})
    if "grid_mapping" in cube.encoding:
        result.encoding["grid_mapping"] = cube.encoding["grid_mapping"]
    return result


def _named(cube: xr.DataArray) -> str:
    return ", ".join(map(str, cube.dims)) or "none"
