"""`vector_buffer` and `vector_reproject`: the same labels with other geometries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.vectors.cubes import (
    crs_of,
    geometry_dimensions,
    main_dimension,
    parse_projection,
    reproject,
    require_metres,
    shapes_of,
    with_shapes,
)
from processes.vectors.inputs import require_vector


def vector_buffer(geometries: Any, distance: float) -> xr.DataArray:
    """Return polygons around geometries (a positive distance) or inside of them (a negative one).

    Parameters
    ----------
    geometries : vector cube or GeoJSON
        Empty geometries are passed through. Properties and values are kept.
    distance : float
        In metres, not 0; negative distances can leave empty polygons.

    Raises
    ------
    OpenEOError
        UnitMismatch, ProcessParameterInvalid.
    """
    cube = require_vector(geometries, "geometries", "vector_buffer")
    if isinstance(distance, bool) or not math.isfinite(distance) or distance == 0:
        raise invalid("distance", "vector_buffer", f"{distance!r} must be a number of meters other than 0")
    name = main_dimension(cube, "geometries", "vector_buffer")
    require_metres(cube, name, "vector_buffer")
    shapes = shapes_of(cube, name)
    buffered = shapely.buffer(shapes, distance)
    return with_shapes(cube, name, np.where(shapely.is_empty(shapes), shapes, buffered))


def vector_reproject(data: Any, projection: Any, dimension: str | None = None) -> xr.DataArray:
    """Return geometries in another reference system; labels, properties and values stay.

    Parameters
    ----------
    data : vector cube or GeoJSON
    projection : int or str
        EPSG code or WKT2.
    dimension : str, optional
        The dimension of geometries to convert; all of them by default.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, ProcessParameterInvalid.
    """
    cube = require_vector(data, "data", "vector_reproject")
    names = geometry_dimensions(cube)
    if dimension is not None and dimension not in names:
        message = (
            f"A dimension of geometries named '{dimension}' does not exist (parameter 'dimension' of "
            f"'vector_reproject'); there is {', '.join(names)}."
        )
        raise OpenEOError("DimensionNotAvailable", message)
    target = parse_projection(projection, "projection", "vector_reproject")
    for name in names if dimension is None else [dimension]:
        moved = reproject(shapes_of(cube, name), crs_of(cube, name), target)
        _require_finite(moved, target)
        cube = with_shapes(cube, name, moved, target)
    return cube


def _require_finite(shapes: Any, target: str) -> None:
    if not np.isfinite(shapely.get_coordinates(shapes)).all():
        reason = f"some geometries lie where {target[:60]} is not defined; choose a projection that covers them"
        raise invalid("projection", "vector_reproject", reason)
