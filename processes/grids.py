"""Bringing one lazy cube to the grid of another by nearest neighbour."""

from __future__ import annotations

import numpy as np
import odc.geo.xr  # noqa: F401  (registers the .odc accessor)
import xarray as xr
from numpy.typing import NDArray

from processes.overrides._warp import on_grid

OUTSIDE = -1


def overlaps(cube: xr.DataArray, target: xr.DataArray) -> bool:
    """Whether two cubes share any area, whatever their CRS."""
    ours, theirs = cube.odc.geobox, target.odc.geobox
    if ours is None or theirs is None:  # a line of pixels has no grid of its own
        return True
    extent = theirs.extent.to_crs(ours.crs) if ours.crs and theirs.crs else theirs.extent
    return bool(ours.extent.intersects(extent))


def to_grid_of(cube: xr.DataArray, target: xr.DataArray) -> xr.DataArray:
    """Bring `cube` to the pixels of `target` by nearest neighbour; NaN outside of its own area. Lazy."""
    crs, other = cube.odc.crs, target.odc.crs
    if crs is not None and other is not None and crs != other:
        moved = on_grid(cube.astype(np.float32), target.odc.geobox, "near", np.nan)
        return moved.assign_coords(x=target["x"].values, y=target["y"].values)
    for axis in ("y", "x"):
        cube = _pick(cube, axis, np.asarray(target[axis].values, np.float64))
    return cube


def _pick(cube: xr.DataArray, axis: str, wanted: NDArray[np.float64]) -> xr.DataArray:
    """Take the pixel that holds each of the `wanted` centres along one axis."""
    index = holding_pixels(np.asarray(cube[axis].values, np.float64), wanted)
    if np.array_equal(index, np.arange(cube.sizes[axis])):
        return cube.assign_coords({axis: wanted})
    begin = index[0]
    if begin != OUTSIDE and np.array_equal(index, begin + np.arange(len(index))):
        return cube.isel({axis: slice(int(begin), int(begin) + len(index))}).assign_coords({axis: wanted})
    picked = cube.isel({axis: np.maximum(index, 0)}).assign_coords({axis: wanted})
    if (index == OUTSIDE).any():
        picked = picked.where(xr.DataArray(index != OUTSIDE, dims=axis))
    return picked


def holding_pixels(centres: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.intp]:
    """Index of the pixel that holds each wanted position, `OUTSIDE` where none does."""
    order = np.argsort(centres)
    ordered = centres[order]
    edges = (ordered[1:] + ordered[:-1]) / 2
    nearest = np.searchsorted(edges, wanted)
    half = (ordered[-1] - ordered[0]) / (2 * max(len(ordered) - 1, 1)) or np.inf
    inside = np.abs(ordered[nearest] - wanted) <= half * (1 + 1e-6)
    return np.where(inside, order[nearest], OUTSIDE)
