"""Reducers along one dimension, and along both spatial ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from processes.overrides._dims import (
    Callback,
    da,
    labels_of,
    rebuild,
    reduce_axis,
    require_cube,
    require_dimension,
    spatial_dimensions,
    within,
)

# What the pixels of an area are called where they are one dimension.
PIXELS = "pixels"


def reduce_dimension(data: xr.DataArray, reducer: Callback, dimension: str, context: Any = None) -> xr.DataArray:
    """Collapse all values along one dimension.

    "The dimension properties (name, type, labels, reference system and resolution) for all other dimensions remain
    unchanged": nothing is noted in the attributes. `OpenEOError` DimensionNotAvailable if the dimension lacks.
    """
    cube = require_cube(data, "reduce_dimension")
    dimension = require_dimension(cube, dimension, "reduce_dimension")
    called = within(reducer, cube.dims, cube.coords)
    values = reduce_axis(cube.data, called, cube.get_axis_num(dimension), labels_of(cube, dimension), context)
    return rebuild(cube, values, [str(d) for d in cube.dims if d != dimension])


def reduce_spatial(data: xr.DataArray, reducer: Callback, context: Any = None) -> xr.DataArray:
    """Collapse all pixel values along x and y.

    "It is missing the horizontal spatial dimensions, the number of dimensions decreases by two." The reducer sees
    the pixels as one list, "the list of values has an undefined order": Dask's blocks stay where they are.
    """
    cube = require_cube(data, "reduce_spatial")
    y, x = spatial_dimensions(cube)
    ordered = cube.transpose(..., y, x)
    pixels = flatten_pixels(ordered.data)
    called = within(reducer, (*ordered.dims[:-2], PIXELS), _coords_of_pixels(ordered))
    values = reduce_axis(pixels, called, pixels.ndim - 1, np.arange(pixels.shape[-1]), context)
    result = rebuild(ordered, values, [str(d) for d in ordered.dims if d not in (y, x)])
    # Without x and y a reference system would refer to nothing.
    result.encoding.pop("grid_mapping", None)
    return result.drop_vars("spatial_ref", errors="ignore")


def _coords_of_pixels(cube: xr.DataArray) -> dict[Any, Any]:
    """Return the coordinates of a cube (..., y, x) whose pixels have become one dimension, in the order they have."""
    y, x = cube.dims[-2:]
    rows, columns = np.divmod(np.arange(cube.sizes[y] * cube.sizes[x]).reshape(cube.sizes[y], -1), cube.sizes[x])
    chunks = None if cube.chunks is None else cube.chunks[-2:]
    order = [_in_blocks(part, chunks) for part in (rows, columns)]
    placed = {d: xr.Variable(PIXELS, cube[d].values[o]) for d, o in zip((y, x), order, strict=True)}
    return {**{name: coord for name, coord in cube.coords.items() if not {y, x} & {*coord.dims}}, **placed}


def _in_blocks(values: np.ndarray, chunks: Any) -> np.ndarray:
    """Return (y, x) as `flatten_pixels` does: row by row, or block by block."""
    if chunks is None:
        return values.ravel()
    rows = np.split(values, np.cumsum(chunks[0])[:-1])
    return np.concatenate([part.ravel() for row in rows for part in np.split(row, np.cumsum(chunks[1])[:-1], axis=1)])


def flatten_pixels(values: Any) -> Any:
    """Return (..., y, x) as (..., y * x), block by block where it is lazy."""
    shape = (*values.shape[:-2], values.shape[-2] * values.shape[-1])
    if not isinstance(values, da.Array):
        return values.reshape(shape)
    return da.reshape_blockwise(values, shape)
