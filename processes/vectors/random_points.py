"""`vector_to_random_points`: random points of geometries."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.vectors._points import points_cube
from processes.vectors.cubes import main_dimension, shapes_of
from processes.vectors.inputs import require_vector

_MOST = 1_000_000
_PROCESS = "vector_to_random_points"


def vector_to_random_points(
    data: Any,
    geometry_count: int | None = None,
    total_count: int | None = None,
    group: bool = True,
    seed: int | None = None,
) -> xr.DataArray:
    """Sample random points, uniform on the area of polygons and the length of lines.

    Parameters
    ----------
    data : vector cube or GeoJSON
        Values and properties are kept; points are taken at most once each.
    geometry_count : int, optional
        Most points per geometry.
    total_count : int, optional
        Most points overall, shared evenly; at least one per geometry. With neither, each geometry gets one.
    group : bool
        One MultiPoint per geometry, else one label per point.
    seed : int, optional
        Makes the samples the same each time.

    Raises
    ------
    OpenEOError
        CountMismatch, ProcessParameterInvalid.
    """
    cube = require_vector(data, "data", _PROCESS)
    name = main_dimension(cube, "data", _PROCESS)
    shapes = shapely.make_valid(shapes_of(cube, name))
    counts = _shares(len(shapes), geometry_count, total_count)
    random = np.random.default_rng(None if seed is None else [abs(int(seed)), int(seed < 0)])
    samples = [_sample(shape, count, random) for shape, count in zip(shapes, counts, strict=True)]
    return points_cube(cube, name, samples, group)


def _shares(geometries: int, each: int | None, total: int | None) -> list[int]:
    """Return how many points each geometry gets."""
    for value, name in ((each, "geometry_count"), (total, "total_count")):
        if value is not None and value < 1:
            raise invalid(name, _PROCESS, f"{value} must be at least 1")
    if total is not None and total < geometries:
        message = (
            f"The total number of points is lower than the number of geometries: 'total_count' of '{_PROCESS}' is "
            f"{total}, but there are {geometries} geometries. Ask for at least as many."
        )
        raise OpenEOError("CountMismatch", message)
    shares = [each or 1] * geometries
    if total is not None:
        even, rest = divmod(total, max(geometries, 1))
        shares = [even + (index < rest) for index in range(geometries)]
        shares = shares if each is None else [min(share, each) for share in shares]
    if sum(shares) > _MOST:
        raise invalid("geometry_count", _PROCESS, f"{sum(shares)} points are too many; {_MOST} at most")
    return shares


def _sample(shape: Any, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return up to `count` points (points, 2) of a geometry."""
    if shape.is_empty:
        return np.empty((0, 2))
    dimensions = int(shapely.get_dimensions(shape))
    if dimensions == 0:
        points = np.unique(shapely.get_coordinates(shape), axis=0)
        return np.asarray(points[np.sort(random.permutation(len(points))[:count])])
    return _on_lines(shape, count, random) if dimensions == 1 else _in_polygons(shape, count, random)


def _in_polygons(shape: Any, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return points that are uniform on the triangles of which the polygons consist."""
    triangles = shapely.get_parts(shapely.constrained_delaunay_triangles(shape))
    areas = shapely.area(triangles)
    if not len(triangles) or areas.sum() <= 0:
        return _on_lines(shapely.boundary(shape), count, random)
    chosen = random.choice(len(triangles), count, p=areas / areas.sum())
    corners = shapely.get_coordinates(triangles).reshape(-1, 4, 2)[chosen, :3]  # (count, 3, 2)
    first, second = random.random((2, count, 1))
    folded = first + second > 1
    first, second = np.where(folded, 1 - first, first), np.where(folded, 1 - second, second)
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    points: NDArray[np.float64] = a + first * (b - a) + second * (c - a)
    return points


def _on_lines(shape: Any, count: int, random: np.random.Generator) -> NDArray[np.float64]:
    lines = [part for part in shapely.get_parts(shape) if shapely.get_dimensions(part) == 1]
    lengths = np.array([line.length for line in lines])
    if not lines or lengths.sum() <= 0:
        return np.asarray(shapely.get_coordinates(shape)[:1])
    chosen = random.choice(len(lines), count, p=lengths / lengths.sum())
    places = random.random(count) * lengths[chosen]
    return np.asarray(shapely.get_coordinates(shapely.line_interpolate_point(np.array(lines)[chosen], places)))
