"""`vector_to_regular_points`: evenly spaced points of geometries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray

from processes.errors import invalid
from processes.vectors._points import points_cube
from processes.vectors.cubes import main_dimension, require_metres, shapes_of
from processes.vectors.inputs import require_vector

_MOST = 1_000_000
_PROCESS = "vector_to_regular_points"


def vector_to_regular_points(data: Any, distance: float, group: bool = True) -> xr.DataArray:
    """Sample points at a distance from each other.

    Polygons: the centres of the cells of a grid that begins at the upper left of the geometry's bounds, those that
    lie in it; the geometry's first coordinate where none does. Lines: the first coordinate, and a point each time
    the distance has been walked along the line. Points stay as they are.

    Parameters
    ----------
    data : vector cube or GeoJSON
        Values and properties are kept; empty geometries are passed through.
    distance : float
        In metres, above 0.
    group : bool
        One MultiPoint per geometry, else one label per point.

    Raises
    ------
    OpenEOError
        UnitMismatch, ProcessParameterInvalid.
    """
    cube = require_vector(data, "data", _PROCESS)
    if isinstance(distance, bool) or not math.isfinite(distance) or distance <= 0:
        raise invalid("distance", _PROCESS, f"{distance!r} must be a number of meters above 0")
    name = main_dimension(cube, "data", _PROCESS)
    require_metres(cube, name, _PROCESS)
    shapes = shapes_of(cube, name)
    _require_few(shapes, distance)
    return points_cube(cube, name, [_sample(shape, distance) for shape in shapes], group)


def _require_few(shapes: NDArray[Any], distance: float) -> None:
    """Refuse distances that would give more points than anyone wants."""
    solid = shapes[~shapely.is_empty(shapes)]
    west, south, east, north = shapely.bounds(solid).reshape(-1, 4).T
    cells = np.ceil((east - west) / distance) * np.ceil((north - south) / distance)
    steps = shapely.length(solid) / distance
    count = float(np.where(shapely.get_dimensions(solid) == 2, cells, steps).sum())
    if count > _MOST:
        raise invalid("distance", _PROCESS, f"{distance} m gives about {count:.0f} points; {_MOST} at most")


def _sample(shape: Any, distance: float) -> NDArray[np.float64]:
    if shape.is_empty:
        return np.empty((0, 2))
    dimensions = int(shapely.get_dimensions(shape))
    if dimensions == 0:
        return np.asarray(shapely.get_coordinates(shape))
    if dimensions == 1:
        return np.concatenate([_along(line, distance) for line in shapely.get_parts(shape)])
    return _in_grid(shape, distance)


def _along(line: Any, distance: float) -> NDArray[np.float64]:
    # A step that ends on the last coordinate counts, whatever rounding makes of it.
    places = np.arange(math.floor(line.length / distance * (1 + 1e-9)) + 1) * distance
    return np.asarray(shapely.get_coordinates(shapely.line_interpolate_point(line, places)))


def _in_grid(shape: Any, distance: float) -> NDArray[np.float64]:
    west, south, east, north = shape.bounds
    columns, rows = (max(math.ceil(extent / distance), 1) for extent in (east - west, north - south))
    x, y = np.meshgrid(west + (np.arange(columns) + 0.5) * distance, north - (np.arange(rows) + 0.5) * distance)
    valid = shapely.make_valid(shape)
    shapely.prepare(valid)
    inside = shapely.intersects_xy(valid, x, y)
    points = np.column_stack([x[inside], y[inside]])
    return points if len(points) else shapely.get_coordinates(shape)[:1]
