"""`apply_polygon`: a process for the pixels of each polygon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import require_cube
from processes.overrides.filters import filter_bbox, inside, read_polygons
from processes.sources import Footprint

# Each polygon is one call of the callback and one pass over the cube's blocks.
MAX_POLYGONS = 500


def apply_polygon(
    data: xr.DataArray, geometries: Any, process: Any, mask_value: float | None = None, context: Any = None
) -> xr.DataArray:
    """Apply a process to the sub-cube of each polygon: its bounding box, `mask_value` outside of the polygon.

    "If a pixel is part of multiple of the provided polygons, the `GeometriesOverlap` exception is thrown." Pixels
    in none of them become `mask_value`, by default no data.

    Raises
    ------
    OpenEOError
        GeometriesOverlap, ProcessParameterInvalid, NoDataAvailable for a polygon without a pixel's centre.
    """
    require_cube(data, "apply_polygon")
    areas = [read_polygons(part, "geometries", "apply_polygon") for part in _parts(geometries)]
    if len(areas) > MAX_POLYGONS:
        raise invalid("geometries", "apply_polygon", f"{len(areas)} polygons are too many; {MAX_POLYGONS} at most.")
    _require_apart(areas)
    outside = np.nan if mask_value is None else mask_value
    result: xr.DataArray = xr.full_like(data, outside, dtype=np.result_type(data.dtype, np.float32))
    for area in areas:
        result = _with_area(result, data, area, process, outside, context)
    return result


def _with_area(
    result: xr.DataArray, data: xr.DataArray, area: Footprint, process: Any, outside: float, context: Any
) -> xr.DataArray:
    """Return `result` with the values that the process gives inside of one polygon."""
    box = area.bbox
    limits = {"west": box.west, "south": box.south, "east": box.east, "north": box.north, "crs": box.crs}
    part = filter_bbox(data, limits)
    touching = inside(part, area)
    values = process(
        part.where(touching, outside).transpose(*part.dims),
        positional_parameters={"data": 0},
        named_parameters={"context": context},
    )
    if not isinstance(values, xr.DataArray) or dict(values.sizes) != dict(part.sizes):
        reason = f"it must return a cube with the dimensions {dict(part.sizes)} that it was given."
        raise invalid("process", "apply_polygon", reason)
    spread: xr.DataArray = values.where(touching).reindex(y=data["y"], x=data["x"])
    here = inside(data, area)
    return spread.transpose(*data.dims).where(here, result)


def _parts(geometries: Any) -> list[Any]:
    """Return features one by one; a single geometry as it is."""
    if isinstance(geometries, Mapping) and geometries.get("type") == "FeatureCollection":
        crs = {"crs": geometries["crs"]} if geometries.get("crs") else {}
        features = [f for f in geometries.get("features", []) if f.get("geometry")]
        return [{**crs, **feature} for feature in features]
    return [geometries]


def _require_apart(areas: list[Footprint]) -> None:
    tree = shapely.STRtree([area.geometry for area in areas])
    for i, j in zip(*tree.query([area.geometry for area in areas], predicate="intersects"), strict=True):
        if i < j and areas[i].geometry.intersection(areas[j].geometry).area > 0:
            message = f"Polygons {i} and {j} of 'geometries' of 'apply_polygon' overlap; make them disjoint."
            raise OpenEOError("GeometriesOverlap", message)
