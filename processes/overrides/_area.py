"""Parts of raster cubes: cropped to a bounding box, blank outside of polygons. Nothing is computed but coordinates."""

from __future__ import annotations

import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import pyproj
import rioxarray  # noqa: F401  (and `.rio`, which the sources' mask asks)
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import require_cube
from processes.sources import Bbox, Footprint, mask_outside
from processes.sources.extents import transformed_bounds


def cropped(data: xr.DataArray, box: Bbox, margin: int, parameter: str, process: str) -> xr.DataArray:
    """Return the pixels in `box`, and `margin` more on each side."""
    require_cube(data, process)
    if not {"x", "y"} <= set(data.dims):
        message = f"'{process}' needs a cube with x and y; this one has {', '.join(map(str, data.dims)) or 'nothing'}."
        raise OpenEOError("DimensionMissing", message)
    west, south, east, north = _bounds_in(data, box, parameter, process)
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    cols, rows = (np.flatnonzero((v >= low) & (v <= high)) for v, low, high in ((x, west, east), (y, south, north)))
    if not len(cols) or not len(rows):
        raise no_pixels(data, box, parameter, process)
    return data.isel(y=span(rows, margin), x=span(cols, margin))


def inside(data: xr.DataArray, footprint: Footprint) -> xr.DataArray:
    """Return the lazy boolean mask (y, x) of pixels whose centres touch the footprint."""
    chunks = [dict(data.chunksizes).get(axis, (data.sizes[axis],)) for axis in ("y", "x")]
    everywhere = da.ones((data.sizes["y"], data.sizes["x"]), chunks=tuple(chunks), dtype=bool)
    grid = {name: data.coords[name] for name in ("y", "x", "spatial_ref") if name in data.coords}
    return mask_outside(xr.DataArray(everywhere, dims=("y", "x"), coords=grid), footprint, nodata=0)


def blank(data: xr.DataArray, keep: xr.DataArray) -> xr.DataArray:
    """Return `data` with NaN where not `keep`; floats keep their type, integers and booleans become floats."""
    return (data.astype(np.float32) if data.dtype == bool else data).where(keep).transpose(*data.dims)


def no_pixels(data: xr.DataArray, box: Bbox, parameter: str, process: str) -> OpenEOError:
    """Return the error for an area without any pixel's centre in it."""
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    covered = transformed_bounds((x.min(), y.min(), x.max(), y.max()), str(data.odc.crs), box.crs)
    asked, held = ("[" + ", ".join(f"{edge:.9g}" for edge in edges) + "]" for edges in (box.bounds, covered))
    return OpenEOError(
        "NoDataAvailable",
        f"No pixel's centre lies in the area {asked} (west, south, east, north in {box.crs[:40]}) of parameter "
        f"'{parameter}' of '{process}': the cube's pixels have their centres in {held}. Choose an area that meets it.",
    )


def span(positions: NDArray[np.intp], margin: int) -> slice:
    """Return the slice from the first to the last position, and `margin` more on each side."""
    return slice(max(int(positions[0]) - margin, 0), int(positions[-1]) + 1 + margin)


def _bounds_in(data: xr.DataArray, box: Bbox, parameter: str, process: str) -> tuple[float, float, float, float]:
    """Return the bounds of `box` in the cube's CRS.

    A box in another CRS is cut to some hundred kilometres round the cube first: map projections turn far-away
    corners (those of the whole world, say) into nonsense.
    """
    crs = data.odc.crs
    if crs is None:
        raise invalid("data", process, "the cube has no coordinate reference system.")
    ours = str(crs)
    if pyproj.CRS(ours).equals(pyproj.CRS(box.crs), ignore_axis_order=True):
        return box.bounds
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    near = transformed_bounds((x.min(), y.min(), x.max(), y.max()), ours, box.crs)
    pad = 5.0 if pyproj.CRS(box.crs).is_geographic else 500_000.0
    west, south = max(box.west, near[0] - pad), max(box.south, near[1] - pad)
    east, north = min(box.east, near[2] + pad), min(box.north, near[3] + pad)
    if west > east or south > north:  # far away: whatever this is in the cube's CRS, it holds no pixel
        return (np.inf, np.inf, -np.inf, -np.inf)
    bounds = transformed_bounds((west, south, east, north), box.crs, ours)
    if not np.isfinite(bounds).all():
        raise invalid(parameter, process, f"{box} cannot be transformed to the cube's {ours[:40]}.")
    return bounds
