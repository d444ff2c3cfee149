"""`aggregate_spatial_window`: the pixels of each window of a grid. Lazy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import invalid
from processes.overrides._dims import (
    X_NAMES,
    Callback,
    da,
    labels_of,
    rebuild,
    reduce_axis,
    require_cube,
    spatial_dimensions,
    within,
)
from processes.overrides.elementwise import holding
from processes.overrides.reduce import PIXELS


def aggregate_spatial_window(
    data: xr.DataArray,
    reducer: Callback,
    size: Sequence[int],
    boundary: str = "pad",
    align: str = "upper-left",
    context: Any = None,
) -> xr.DataArray:
    """Reduce the pixels of windows that stand side by side.

    Parameters
    ----------
    data : xr.DataArray
        A cube with x and y.
    reducer : callable
        Gets all pixels of a window as one array.
    size : two int
        Pixels along x and along y.
    boundary : str
        ``pad``: windows at the far edges reach beyond the cube, where there is no data; ``trim``: pixels that do not
        fill a window are left out.
    align : str
        The corner where the first window lies.
    context
        Passed to the reducer.

    Returns
    -------
    xr.DataArray
        x and y are labelled with the centres of the windows.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, ProcessParameterInvalid.
    """
    cube = require_cube(data, "aggregate_spatial_window")
    y, x = spatial_dimensions(cube)
    _require_size(size)
    right, lower = align.endswith("right"), align.startswith("lower")
    ordered = cube.transpose(..., y, x)
    ordered, rows = _fitted(ordered, y, size[1], boundary, lower != _ascending(ordered, y))
    ordered, columns = _fitted(ordered, x, size[0], boundary, right == _ascending(ordered, x))
    pixels = _windows(ordered.data, size[1], size[0])
    known = {name: coord for name, coord in ordered.coords.items() if not {y, x} & {*coord.dims}}
    placed = {y: xr.Variable(y, rows), x: xr.Variable(x, columns)}
    called = within(reducer, (*ordered.dims, PIXELS), {**known, **placed})
    values = reduce_axis(pixels, called, pixels.ndim - 1, np.arange(pixels.shape[-1]), context)
    result = rebuild(ordered, values, map(str, ordered.dims), {y: rows, x: columns})
    return _located(result, size[0] * _step(cube, x), size[1] * _step(cube, y)).transpose(*cube.dims)


def _require_size(size: Sequence[int]) -> None:
    if len(size) != 2 or any(isinstance(n, bool) or int(n) != n or n < 1 for n in size):
        reason = f"{list(size)} are not two whole numbers of pixels, along x and along y, of at least 1"
        raise invalid("size", "aggregate_spatial_window", reason)


def _ascending(cube: xr.DataArray, dim: str) -> bool:
    """Tell whether labels grow; with a single pixel, x does and y does not."""
    labels = labels_of(cube, dim)
    return bool(labels[0] < labels[-1]) if len(labels) > 1 else dim in X_NAMES


def _fitted(
    cube: xr.DataArray, dim: str, size: int, boundary: str, at_start: bool
) -> tuple[xr.DataArray, NDArray[np.floating]]:
    """Return the cube with a multiple of `size` pixels along `dim`, and the centres of the windows.

    `at_start`: what is too few or too many is added or left out before the first pixel, else after the last.
    """
    labels, over = labels_of(cube, dim).astype(float), cube.sizes[dim] % size
    if boundary == "trim":
        if cube.sizes[dim] < size:
            reason = f"the cube has {cube.sizes[dim]} pixels along {dim}, fewer than {size}; pad, or choose fewer"
            raise invalid("size", "aggregate_spatial_window", reason)
        kept = slice(over if at_start else 0, cube.sizes[dim] - (0 if at_start else over))
        return cube.isel({dim: kept}), labels[kept].reshape(-1, size).mean(1)
    if not over:
        return cube, labels.reshape(-1, size).mean(1)
    width = (size - over, 0) if at_start else (0, size - over)
    first = labels[0] - width[0] * _step(cube, dim)
    extended = first + _step(cube, dim) * np.arange(cube.sizes[dim] + sum(width))
    return _padded(cube, dim, width), extended.reshape(-1, size).mean(1)


def _step(cube: xr.DataArray, dim: str) -> float:
    """Return the distance from one pixel to the next; negative where labels descend."""
    labels = labels_of(cube, dim).astype(float)
    if len(labels) > 1:
        return float((labels[-1] - labels[0]) / (len(labels) - 1))
    other = [d for d in spatial_dimensions(cube) if d != dim]
    size = abs(_step(cube, other[0])) if cube.sizes[other[0]] > 1 else 1.0  # pixels are mostly square
    return size if dim in X_NAMES else -size


def _located(cube: xr.DataArray, width: float, height: float) -> xr.DataArray:
    """Return the cube without the old pixels' size; the new size is noted where it cannot be told from labels."""
    if "spatial_ref" not in cube.coords:
        return cube
    y, x = spatial_dimensions(cube)
    reference = cube["spatial_ref"].copy()
    reference.attrs.pop("GeoTransform", None)
    if cube.sizes[x] == cube.sizes[y] == 1:
        left, top = float(cube[x][0]) - width / 2, float(cube[y][0]) - height / 2
        reference.attrs["GeoTransform"] = f"{left} {width} 0 {top} 0 {height}"
    return cube.assign_coords(spatial_ref=reference)


def _padded(cube: xr.DataArray, dim: str, width: tuple[int, int]) -> xr.DataArray:
    """Return the cube with no data before and after; integers become floats for it."""
    widths = [width if d == dim else (0, 0) for d in cube.dims]
    values = cube.data.astype(holding(cube.dtype, None))
    pad = da.pad if isinstance(values, da.Array) else np.pad
    return rebuild(cube.drop_vars(dim), pad(values, widths, constant_values=np.nan), map(str, cube.dims))


def _windows(values: Any, height: int, width: int) -> Any:
    """Return (..., y, x) as (..., rows of windows, columns of windows, pixels of a window)."""
    if not isinstance(values, da.Array):
        return _cut(values, height, width)
    whole = values.rechunk({-2: _multiple(values.chunks[-2], height), -1: _multiple(values.chunks[-1], width)})
    rows, columns = (tuple(n // size for n in c) for c, size in zip(whole.chunks[-2:], (height, width), strict=True))
    chunks = (*whole.chunks[:-2], rows, columns, (height * width,))
    meta = np.empty((0,) * (values.ndim + 1), values.dtype)
    return whole.map_blocks(_cut, height, width, chunks=chunks, new_axis=values.ndim, dtype=values.dtype, meta=meta)


def _multiple(chunks: tuple[int, ...], size: int) -> int:
    """Return the length of the longest chunk, rounded up to whole windows."""
    return -(-max(chunks) // size) * size


def _cut(block: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    rows, columns = block.shape[-2] // height, block.shape[-1] // width
    split = block.reshape(*block.shape[:-2], rows, height, columns, width).swapaxes(-3, -2)
    return split.reshape(*block.shape[:-2], rows, columns, height * width)
