"""Resampling: cubes brought to another grid, or to the dates of another cube. Lazy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import require_cube, require_dimension
from processes.overrides._warp import Warp, on_grid
from processes.sources import parse_crs

# Those that make no new values, and the integers that can be warped.
_CHOOSING = ("near", "mode", "min", "max")
_WARPABLE = ("uint8", "int16", "uint16", "int32", "uint32")
_DAY_NS = 24 * 3600 * 10**9
# Planning takes a while for each block, and runs before anyone can see what the plan costs.
_MOST_BLOCKS = 100_000
_LONGEST_SIDE = 2**24


def resample_spatial(
    data: xr.DataArray,
    resolution: float | Sequence[float] = 0,
    projection: int | str | None = None,
    method: str = "near",
    align: str = "upper-left",
) -> xr.DataArray:
    """Resample x and y to a resolution and/or a projection.

    Parameters
    ----------
    data : xr.DataArray
    resolution : number or two numbers
        In units of the target projection, for both axes or for x and y; 0 keeps it.
    projection : EPSG code or WKT2, optional
    method : str
        How values are found, named as in gdalwarp.
    align : str
        The corner of the extent that stays where it is.

    Raises
    ------
    OpenEOError
        DimensionMissing, ProcessParameterInvalid.
    """
    source = _geobox(data, "data", "resample_spatial")
    given = [resolution] * 2 if isinstance(resolution, int | float) else list(resolution)
    sizes = [abs(float(size)) for size in given]
    if projection is None and not any(sizes):
        raise invalid("resolution", "resample_spatial", "neither resolution nor projection is given; set one of them.")
    crs = source.crs if projection is None else str(parse_crs(projection, "projection", "resample_spatial").to_wkt())
    return _warped(data, _target(source, crs, sizes, align), method)


def resample_cube_spatial(data: xr.DataArray, target: xr.DataArray, method: str = "near") -> xr.DataArray:
    """Resample x and y to those of `target`; see `resample_spatial`."""
    ours = _geobox(data, "data", "resample_cube_spatial")
    theirs = _geobox(target, "target", "resample_cube_spatial")
    if ours == theirs:
        return data
    return _warped(data, theirs, method).assign_coords(x=target["x"].to_numpy(), y=target["y"].to_numpy())


def resample_cube_temporal(
    data: xr.DataArray, target: xr.DataArray, dimension: str | None = None, valid_within: float | None = None
) -> xr.DataArray:
    """Take for each date of `target` the nearest one of `data`; "ties are resolved by choosing the earlier".

    Parameters
    ----------
    data, target : xr.DataArray
    dimension : str, optional
        By default all temporal dimensions that both have.
    valid_within : number, optional
        Take, for each pixel, the nearest valid value that is less than so many days away, else no data.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, DimensionMismatch.
    """
    for name in _shared_dates(data, target, dimension):
        wanted, there = target[name].to_numpy(), data[name].to_numpy()
        away = np.abs(_nanoseconds(there)[None, :] - _nanoseconds(wanted)[:, None])  # (wanted, there)
        ranked = np.lexsort((np.broadcast_to(_nanoseconds(there), away.shape), away), axis=1)
        if valid_within is None:
            data = data.isel({name: ranked[:, 0]})
        else:
            data = _nearest_valid(data, name, ranked, away < valid_within * _DAY_NS)
        data = data.assign_coords({name: wanted})
    return data


def _geobox(cube: Any, parameter: str, process: str) -> GeoBox:
    require_cube(cube, process, parameter)
    if not {"x", "y"} <= set(cube.dims):
        message = f"'{process}' needs x and y in '{parameter}', which has {', '.join(map(str, cube.dims))}."
        raise OpenEOError("DimensionMissing", message)
    geobox: GeoBox | None = cube.odc.geobox
    if geobox is None or geobox.crs is None:
        reason = "the cube has no regular grid of at least two by two pixels with a coordinate reference system."
        raise invalid(parameter, process, reason)
    return geobox


def _target(source: GeoBox, crs: Any, sizes: Sequence[float], align: str) -> GeoBox:
    """Return the grid with pixels of these sizes that covers the extent, one corner of which it shares."""
    box = source.extent.to_crs(crs).boundingbox
    own = source if source.crs == crs else source.to_crs(crs)
    width, height = (size or abs(float(step)) for size, step in zip(sizes, own.resolution.xy, strict=True))
    # A pixel that would reach beyond the extent by rounding errors alone is none.
    columns, rows = (max(math.ceil(n - 1e-6), 1) for n in ((box.right - box.left) / width, box.span_y / height))
    if max(columns, rows) > _LONGEST_SIDE:
        raise _too_fine(columns, rows)
    left = box.left if align.endswith("left") else box.right - columns * width
    top = box.top if align.startswith("upper") else box.bottom + rows * height
    return GeoBox((rows, columns), Affine(width, 0, left, 0, -height, top), crs)


def _warped(data: xr.DataArray, grid: GeoBox, method: str) -> xr.DataArray:
    """Return the cube on another grid; what lies outside of it is no data, for which integers become floats."""
    whole = method in _CHOOSING and data.dtype.name in _WARPABLE and _covers(data.odc.geobox, grid)
    values = data if data.dtype.kind == "f" or whole else data.astype(np.result_type(data.dtype, np.float32))
    _refuse_too_many_blocks(values, grid, method)
    return on_grid(values, grid, method, None if whole else np.nan)


def _covers(source: GeoBox, grid: GeoBox) -> bool:
    """Tell whether each pixel's centre of `grid` lies in `source`; in another reference system it may not."""
    if source.crs != grid.crs:
        return False
    outer, inner = source.boundingbox, grid.boundingbox
    half_x, half_y = (abs(float(step)) / 2 for step in grid.resolution.xy)
    x = outer.left <= inner.left + half_x and inner.right - half_x <= outer.right
    return bool(x and outer.bottom <= inner.bottom + half_y and inner.top - half_y <= outer.top)


def _refuse_too_many_blocks(data: xr.DataArray, grid: GeoBox, method: str) -> None:
    lazy = data.transpose(..., "y", "x").chunks
    if lazy and math.prod(map(len, Warp(data.odc.geobox, grid, method, None).chunks(lazy))) > _MOST_BLOCKS:
        raise _too_fine(grid.shape[1], grid.shape[0])


def _too_fine(columns: int, rows: int) -> OpenEOError:
    message = f"Resampling would make {columns} x {rows} pixels for each date and band; choose larger pixels or a part."
    return OpenEOError("ProcessGraphComplexity", message)


def _shared_dates(data: xr.DataArray, target: xr.DataArray, dimension: str | None) -> list[str]:
    for name, cube in (("data", data), ("target", target)):
        require_cube(cube, "resample_cube_temporal", name)
        if dimension is not None:
            require_dimension(cube, dimension, "resample_cube_temporal")
    asked = [dimension] if dimension is not None else [str(d) for d in data.dims if d in target.dims]
    dates = [d for d in asked if data[d].dtype.kind == "M" and target[d].dtype.kind == "M"]
    if not dates:
        wanted = f"'{dimension}' has no dates as labels in both cubes" if dimension else "the cubes share none"
        message = f"'resample_cube_temporal' needs a temporal dimension that both cubes have: {wanted}."
        raise OpenEOError("DimensionMismatch", message)
    return dates


def _nanoseconds(dates: NDArray[np.datetime64]) -> NDArray[np.int64]:
    return dates.astype("datetime64[ns]").astype(np.int64)


def _nearest_valid(
    data: xr.DataArray, dimension: str, ranked: NDArray[np.intp], near: NDArray[np.bool_]
) -> xr.DataArray:
    """Return for each row of `ranked` the first valid value among the `near` ones of its labels."""
    values = data if data.dtype.kind == "f" else data.astype(np.result_type(data.dtype, np.float32))
    found = []
    for order, close in zip(ranked, near, strict=True):
        best = xr.full_like(values.isel({dimension: order[0]}, drop=True), np.nan)
        for position in [i for i in order if close[i]][::-1]:
            candidate = values.isel({dimension: position}, drop=True)
            best = candidate.where(np.isfinite(candidate), best)
        found.append(best)
    return xr.concat(found, dim=dimension, join="exact").transpose(*data.dims)
