"""`aggregate_spatial`: the pixels of each geometry, as a vector cube."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr
import xvec  # noqa: F401  (registers the accessor)
from pyproj.exceptions import CRSError
from shapely.errors import ShapelyError

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import Callback, rebuild, require_cube, spatial_dimensions
from processes.overrides._zones import Zones

# Pieces of edges that stay straight to some centimetres when they are projected.
_LONGEST_DEGREES, _LONGEST_METRES = 0.01, 1000.0


def aggregate_spatial(
    data: xr.DataArray,
    geometries: Any,
    reducer: Callback,
    target_dimension: str | None = None,
    context: Any = None,
) -> xr.DataArray:
    """Aggregate the pixels of each geometry into a vector cube with the dimension `geometry`.

    "For polygons, the process considers all pixels for which the point at the pixel center intersects with the
    corresponding polygon. For points, the process considers the closest pixel center. For lines, all the pixels whose
    centers are closest to at least one point on the line." Geometries keep their reference system, features their
    properties (as coordinates). "Empty geometries still exist but without any aggregated values", as those outside.

    Raises
    ------
    OpenEOError
        TargetDimensionExists, DimensionNotAvailable, ProcessParameterInvalid.
    """
    cube = require_cube(data, "aggregate_spatial")
    y, x = spatial_dimensions(cube)
    if target_dimension is not None and target_dimension in (*cube.dims, "geometry"):
        raise OpenEOError(
            "TargetDimensionExists",
            f"A dimension named '{target_dimension}' exists already. Give another name in 'target_dimension'.",
        )
    if cube.odc.crs is None:
        raise invalid("data", "aggregate_spatial", "the cube has no reference system to place geometries in")
    frame = geometry_frame(geometries)
    ordered = cube.transpose(..., y, x)
    zones = Zones(ordered, projected(frame, cube))
    values, count = zones.reduce(reducer, context, with_counts=target_dimension is not None), len(frame)
    dims = [str(d) for d in ordered.dims[:-2]]
    plain = ordered.drop_vars("spatial_ref", errors="ignore")
    plain.encoding.pop("grid_mapping", None)
    labels: dict[str, Any] = {"geometry": np.empty(count, object)}
    labels["geometry"][:] = frame.geometry.values
    order = ["geometry", *dims]
    if target_dimension is not None:
        order, labels[target_dimension] = [*order, target_dimension], ["value", "total_count", "valid_count"]
    result = rebuild(plain, values, order, labels)
    result = result.assign_coords(_properties(frame, set(result.coords) | set(result.dims)))
    return result.xvec.set_geom_indexes("geometry", crs=frame.crs)  # type: ignore[no-any-return]


def geometry_frame(geometries: Any, process: str = "aggregate_spatial") -> Any:
    """Return GeoJSON, a GeoDataFrame or a vector cube as a GeoDataFrame; GeoJSON is EPSG:4326 unless it names a crs."""
    if isinstance(geometries, gpd.GeoDataFrame):
        return geometries
    if isinstance(geometries, xr.Dataset | xr.DataArray):
        name = next((d for d in geometries.dims if d in geometries.xvec.geom_coords), None)
        if name is None:
            raise invalid("geometries", process, "the vector cube has no dimension of geometries")
        crs = getattr(geometries.xindexes.get(name), "crs", None) or geometries[name].attrs.get("crs")
        return gpd.GeoDataFrame(geometry=geometries[name].values, crs=crs)
    if not isinstance(geometries, dict) or "type" not in geometries:
        raise invalid("geometries", process, "it must be a GeoJSON object or a vector cube")
    try:
        return _frame_of(geometries)
    except (AttributeError, KeyError, TypeError, ValueError, CRSError, ShapelyError) as error:
        reason = f"it is no valid GeoJSON ({type(error).__name__}: {str(error)[:100]})"
        raise invalid("geometries", process, reason) from error


def _frame_of(geojson: dict[str, Any]) -> Any:
    features = geojson["features"] if geojson["type"] == "FeatureCollection" else [geojson]
    shapes, properties = [], []
    for feature in features:
        is_feature = feature["type"] == "Feature"
        bare = feature["geometry"] if is_feature else feature
        shapes.append(shapely.geometry.shape(bare) if bare else shapely.GeometryCollection())
        properties.append((feature.get("properties") or {}) if is_feature else {})
    crs = (geojson.get("crs") or {}).get("properties", {}).get("name", "EPSG:4326")
    return gpd.GeoDataFrame(properties or None, geometry=shapes, crs=crs, index=range(len(shapes)))


def projected(frame: Any, cube: xr.DataArray) -> list[Any]:
    """Return geometries in the reference system of a cube that has one.

    Edges are straight in the geometries' own system, as they are for `mask_polygon`: long ones bend.
    """
    if frame.crs is None or frame.crs.equals(cube.odc.crs.proj, ignore_axis_order=True):
        return list(frame.geometry)
    longest = _LONGEST_DEGREES if frame.crs.is_geographic else _LONGEST_METRES
    return list(frame.geometry.segmentize(longest).to_crs(str(cube.odc.crs)))


def _properties(frame: Any, taken: set[Any]) -> dict[str, Any]:
    """Return the features' properties as coordinates: numbers as such, everything else as text."""
    columns = {str(c): frame[c] for c in frame.columns if c != frame.geometry.name and str(c) not in taken}
    return {
        name: ("geometry", column.to_numpy() if column.dtype.kind in "iufb" else column.map(_as_text).to_numpy(str))
        for name, column in columns.items()
    }


def _as_text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
