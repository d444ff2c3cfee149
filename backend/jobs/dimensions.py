"""The dimensions of a result, as STAC's data cube extension tells them: who loads the result again finds its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
import xarray as xr

from backend.results.raster import crs_of, is_raster
from processes.vectors.cubes import LONGITUDE_LATITUDE, geometry_dimensions, reproject, shapes_of
from processes.vectors.cubes import crs_of as crs_of_shapes

EXTENSION = "https://stac-extensions.github.io/datacube/v2.2.0/schema.json"


def describe_dimensions(value: Any) -> dict[str, Any]:
    """Return `cube:dimensions` of a raster cube on a grid or of a vector cube; nothing for any other value."""
    if isinstance(value, xr.DataArray) and value.size and len(geometry_dimensions(value)) == 1:
        return _of_vectors(value)
    if not is_raster(value) or value.size == 0 or any(value[axis].dtype.kind not in "iuf" for axis in ("y", "x")):
        return {}
    return {"cube:dimensions": {str(name): _dimension(value, str(name)) for name in value.dims}}


def _of_vectors(cube: xr.DataArray) -> dict[str, Any]:
    (name,) = geometry_dimensions(cube)
    shapes = shapes_of(cube, name)
    if shapely.is_empty(shapes).all():
        return {}
    crs = crs_of_shapes(cube, name)
    bounds = shapely.total_bounds(reproject(shapes, crs, LONGITUDE_LATITUDE)).tolist()
    geometry = {"type": "geometry", "bbox": bounds, "reference_system": crs.to_epsg() or crs.to_wkt()}
    others = {str(dim): _dimension(cube, str(dim)) for dim in cube.dims if dim != name}
    # The order of keys is not kept by all databases, this one is.
    order = {"value": {"type": "data", "dimensions": [name, *others]}}
    return {"cube:dimensions": {name: geometry, **others}, "cube:variables": order}


def _dimension(cube: xr.DataArray, name: str) -> dict[str, Any]:
    labels = cube[name].values
    if name in ("x", "y"):
        extent = [float(labels.min()), float(labels.max())]
        crs = crs_of(cube)
        code = crs.to_epsg() if crs is not None else None
        system = {} if crs is None else {"reference_system": code or crs.to_wkt()}
        return {"type": "spatial", "axis": name, "extent": extent, **system}
    if labels.dtype.kind == "M" and not np.isnat(labels).any():
        texts = [_instant(label) for label in labels]
        return {"type": "temporal", "extent": [min(texts), max(texts)], "values": texts}
    kind = "bands" if name == "bands" else "nominal"
    return {"type": kind, "values": [_plain(label) for label in labels.tolist()]}


def _instant(label: np.datetime64) -> str:
    whole = label == label.astype("datetime64[s]")
    return f"{np.datetime_as_string(label, unit='s' if whole else 'ns')}Z"


def _plain(label: Any) -> Any:
    return label if isinstance(label, int | float | str) and not isinstance(label, bool) else str(label)
