"""`mask` and `mask_polygon`: values replaced where a raster or polygons say so. Lazy."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.grids import holding_pixels, to_grid_of
from processes.overrides._area import blank, inside
from processes.overrides._dims import require_cube
from processes.overrides._joining import as_slice, picked
from processes.overrides.cubes import labels_of
from processes.overrides.elementwise import holding
from processes.overrides.filters import read_polygons

_SPATIAL = ("y", "x")


def mask(data: xr.DataArray, mask: xr.DataArray, replacement: float | bool | None = None) -> xr.DataArray:
    """Replace the pixels of `data` whose pixels in `mask` are non-zero or true.

    Parameters
    ----------
    data : xr.DataArray
    mask : xr.DataArray
        Its x and y are brought to those of `data` by nearest neighbour. It may lack dimensions of `data`, to whose
        labels it all applies then; in those it has, it needs all labels of `data`. No data does not mask.
    replacement : number, optional
        The new value; no data (NaN) by default, which makes integers floats.

    Raises
    ------
    OpenEOError
        IncompatibleDataCubes when dimensions or labels do not fit.
    """
    require_cube(data, "mask")
    require_cube(mask, "mask", "mask")
    flags = _aligned(mask, data)
    flags = flags.notnull() & (flags != 0) if flags.dtype.kind == "f" else flags != 0
    return _replaced(data, ~_like_chunks(flags, data), replacement, "mask")


def mask_polygon(
    data: xr.DataArray, mask: Any, replacement: float | bool | None = None, inside: bool = False
) -> xr.DataArray:
    """Replace the pixels whose centres do not touch any polygon.

    Parameters
    ----------
    data : xr.DataArray
        A raster cube with x, y and any other dimensions.
    mask : GeoJSON or vector cube
        A geometry, Feature, FeatureCollection or GeometryCollection of (multi)polygons.
    replacement : number, optional
        The new value; no data (NaN) by default, which makes integers floats.
    inside : bool
        Replace the pixels whose centres do touch a polygon instead.

    "No data values in `data` will be left untouched by the masking operation."

    Raises
    ------
    OpenEOError
        DimensionMissing, ProcessParameterInvalid.
    """
    require_cube(data, "mask_polygon")
    if not set(_SPATIAL) <= set(data.dims):
        message = f"'mask_polygon' needs a cube with x and y; this one has {', '.join(map(str, data.dims))}."
        raise OpenEOError("DimensionMissing", message)
    if data.odc.crs is None:
        raise invalid("data", "mask_polygon", "the cube has no coordinate reference system.")
    touching = _touching(data, read_polygons(mask, "mask", "mask_polygon"))
    keep = ~touching if inside else touching
    if replacement is not None and data.dtype.kind == "f":
        keep = keep | data.isnull()
    return _replaced(data, keep, replacement, "mask_polygon")


# `mask_polygon` has a parameter of the function's name.
_touching = inside


def _aligned(mask: xr.DataArray, data: xr.DataArray) -> xr.DataArray:
    """Return the mask at the labels of `data`."""
    extra = [str(d) for d in mask.dims if d not in data.dims]
    if extra:
        raise _incompatible(f"the mask has the dimension(s) {', '.join(extra)}, which the data lacks; drop them first.")
    mask = mask.drop_vars([name for name, c in mask.coords.items() if name not in mask.dims and c.dims])
    for name in mask.dims:
        if name not in _SPATIAL:
            mask = _at_labels(mask, data, str(name))
    return _on_grid(mask, data)


def _at_labels(mask: xr.DataArray, data: xr.DataArray, dimension: str) -> xr.DataArray:
    if np.array_equal(mask[dimension].to_numpy(), data[dimension].to_numpy()):
        return mask
    ours, theirs = labels_of(data, dimension), labels_of(mask, dimension)
    if ours == theirs:
        return mask
    lacking = [str(label) for label in ours if label not in theirs]
    if lacking:
        raise _incompatible(
            f"the mask has no {', '.join(lacking[:5])} in the dimension '{dimension}', but "
            f"{', '.join(map(str, theirs[:5]))}. Filter both alike, or drop the dimension from the mask so that it "
            "applies to all labels."
        )
    place = {label: i for i, label in enumerate(theirs)}
    return mask.isel({dimension: as_slice(np.array([place[label] for label in ours], np.intp), len(theirs))})


def _on_grid(mask: xr.DataArray, data: xr.DataArray) -> xr.DataArray:
    axes = [axis for axis in _SPATIAL if axis in mask.dims]
    crs, other = mask.odc.crs, data.odc.crs
    same_crs = crs is None or other is None or crs == other
    if same_crs and all(np.array_equal(mask[axis], data[axis]) for axis in axes):
        return mask
    if len(axes) < 2:
        raise _incompatible("a mask with only one of x and y needs the same labels there as the data.")
    if not same_crs or not mask.chunks:
        # Floats, because what lies outside of the mask is no data.
        return to_grid_of(mask.astype(np.float32), data)
    return _nearest(mask, data)


def _nearest(mask: xr.DataArray, data: xr.DataArray) -> xr.DataArray:
    """Return the lazy mask on the grid of the data in the same reference system: one task for each block."""
    new = {axis: data[axis].to_numpy() for axis in _SPATIAL}
    source = [
        holding_pixels(mask[d].to_numpy(), new[str(d)]) if d in new else np.arange(mask.sizes[d]) for d in mask.dims
    ]
    sizes = {**mask.chunksizes, **{axis: data.chunksizes.get(axis, (len(new[axis]),)) for axis in new}}
    values = picked(mask.data, source, tuple(sizes[d] for d in mask.dims))
    bare = mask.drop_vars([axis for axis in new if axis in mask.coords])
    return xr.DataArray(values, dims=mask.dims, coords={**bare.coords, **new})


def _like_chunks(flags: xr.DataArray, data: xr.DataArray) -> xr.DataArray:
    """Return the mask chunked as the data is, whose chunks would otherwise be broken up."""
    sizes = {d: c for d, c in data.chunksizes.items() if d in flags.dims}
    return flags.drop_vars("spatial_ref", errors="ignore").chunk(sizes) if sizes else flags


def _replaced(data: xr.DataArray, keep: xr.DataArray, replacement: Any, process: str) -> xr.DataArray:
    keep = keep.drop_vars([name for name in keep.coords if name not in keep.dims])
    # Labels fit by now; floating point noise in them must not make a difference.
    keep = keep.assign_coords({d: data[d] for d in keep.dims if d in data.coords})
    if replacement is None:
        return blank(data, keep)
    if not isinstance(replacement, int | float):
        raise invalid("replacement", process, f"{replacement!r} is no number; the cube holds numbers.")
    return data.astype(holding(data.dtype, replacement), copy=False).where(keep, replacement).transpose(*data.dims)


def _incompatible(reason: str) -> OpenEOError:
    return OpenEOError("IncompatibleDataCubes", f"The data cube and the mask are incompatible: {reason}")
