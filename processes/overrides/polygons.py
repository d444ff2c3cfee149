"""`apply_polygon`: a process for the pixels of each polygon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyproj
import shapely
import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.overrides._area import inside
from processes.overrides._dims import require_cube
from processes.overrides._joining import NOWHERE, joined
from processes.overrides.filters import filter_bbox, read_polygons
from processes.sources import Footprint

# Each polygon is one call of the callback.
MAX_POLYGONS = 500
_HAIR = 1e-12


def apply_polygon(
    data: xr.DataArray, geometries: Any, process: Any, mask_value: float | None = None, context: Any = None
) -> xr.DataArray:
    """Apply a process to the sub-cube of each polygon: its bounding box, `mask_value` outside of the polygon.

    "If a pixel is part of multiple of the provided polygons, the `GeometriesOverlap` exception is thrown." Pixels
    in none of them become `mask_value`, by default no data.

    Raises
    ------
    OpenEOError
        GeometriesOverlap, ProcessParameterInvalid, NoDataAvailable if no polygon has a pixel's centre.
    """
    require_cube(data, "apply_polygon")
    areas = [read_polygons(part, "geometries", "apply_polygon") for part in _parts(geometries)]
    if len(areas) > MAX_POLYGONS:
        raise invalid("geometries", "apply_polygon", f"{len(areas)} polygons are too many; {MAX_POLYGONS} at most.")
    _require_apart(areas, data)
    outside = np.nan if mask_value is None else mask_value
    windows = [(area, window) for area in areas if (window := _window(data, area)) is not None]
    if not windows:
        raise _no_pixels()
    pieces = [_processed(data, area, window, process, outside, context) for area, window in windows]
    return _together(data, pieces, areas, outside)


def _window(data: xr.DataArray, area: Footprint) -> xr.DataArray | None:
    """Return the bounding box of a polygon; None where the cube has no pixel's centre in it."""
    box = area.bbox
    limits = {"west": box.west, "south": box.south, "east": box.east, "north": box.north, "crs": box.crs}
    try:
        return filter_bbox(data, limits)
    except OpenEOError as error:
        if error.code == "NoDataAvailable":
            return None
        raise


def _processed(
    data: xr.DataArray, area: Footprint, window: xr.DataArray, process: Any, outside: float, context: Any
) -> xr.DataArray:
    """Return what the process makes of one polygon, NaN outside of it."""
    touching = inside(window, area)
    values = process(
        window.where(touching, outside).transpose(*window.dims),
        positional_parameters={"data": 0},
        named_parameters={"context": context},
    )
    if not isinstance(values, xr.DataArray) or dict(values.sizes) != dict(window.sizes):
        reason = f"it must return a cube with the dimensions {dict(window.sizes)} that it was given."
        raise invalid("process", "apply_polygon", reason)
    return values.assign_coords(y=window["y"], x=window["x"]).where(touching).transpose(*data.dims)


def _together(data: xr.DataArray, pieces: list[xr.DataArray], areas: list[Footprint], outside: float) -> xr.DataArray:
    """Return the pieces in one cube; each block is made once, of the pieces that reach into it."""
    sources = [[_source(data, piece, str(d)) for d in data.dims] for piece in pieces]
    everything = [np.arange(n) for n in data.shape]
    nothing = np.full_like(data.data, np.nan, dtype=np.result_type(data.dtype, np.float32))
    values = joined([nothing, *(piece.data for piece in pieces)], [everything, *sources], (), True, through=True)
    made = data.copy(data=values)
    if np.isnan(outside):
        return made
    whole = Footprint(shapely.union_all([area.geometry for area in areas]), areas[0].crs)
    return made.where(inside(data, whole), outside).transpose(*data.dims)


def _source(data: xr.DataArray, piece: xr.DataArray, dimension: str) -> Any:
    """Return, for each label of the cube, where the piece has it; pieces are cut in space only."""
    if dimension not in ("x", "y"):
        return np.arange(data.sizes[dimension])
    place = {label: i for i, label in enumerate(piece[dimension].to_numpy().tolist())}
    return np.array([place.get(label, NOWHERE) for label in data[dimension].to_numpy().tolist()], np.intp)


def _parts(geometries: Any) -> list[Any]:
    """Return features one by one; a single geometry as it is."""
    if isinstance(geometries, Mapping) and geometries.get("type") == "FeatureCollection":
        crs = {"crs": geometries["crs"]} if geometries.get("crs") else {}
        features = [f for f in geometries.get("features", []) if f.get("geometry")]
        return [{**crs, **feature} for feature in features]
    return [geometries]


def _require_apart(areas: list[Footprint], data: xr.DataArray) -> None:
    """Refuse polygons that share a pixel; slivers between pixels' centres do no harm."""
    tree = shapely.STRtree([area.geometry for area in areas])
    for i, j in zip(*tree.query([area.geometry for area in areas], predicate="intersects"), strict=True):
        if i < j and _share_a_pixel(areas[i], areas[j], data):
            message = f"Polygons {i} and {j} of 'geometries' of 'apply_polygon' overlap; make them disjoint."
            raise OpenEOError("GeometriesOverlap", message)


def _share_a_pixel(one: Footprint, other: Footprint, data: xr.DataArray) -> bool:
    common = one.geometry.intersection(other.geometry)
    # Those that only touch share a line, which has no area for a window.
    window = _window(data, Footprint(shapely.box(*common.bounds).buffer(_HAIR * max(map(abs, common.bounds))), one.crs))
    if window is None:
        return False
    to_area = pyproj.Transformer.from_crs(str(data.odc.crs.to_wkt()), one.crs, always_xy=True)
    x, y = to_area.transform(*np.meshgrid(window["x"].to_numpy(), window["y"].to_numpy()))
    return bool((shapely.intersects_xy(one.geometry, x, y) & shapely.intersects_xy(other.geometry, x, y)).any())


def _no_pixels() -> OpenEOError:
    return OpenEOError(
        "NoDataAvailable", "No polygon of 'geometries' of 'apply_polygon' has a pixel's centre; choose others."
    )
