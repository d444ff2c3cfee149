"""What `merge_cubes` needs beside for vector cubes: types, reference systems and equality of geometries, properties."""

from __future__ import annotations

from typing import Any

import shapely
import xarray as xr

from processes.errors import OpenEOError
from processes.sources.extents import crs_text
from processes.vectors.cubes import column, crs_of, geometry_dimensions, shapes_of, with_shapes

_BASE = {0: "points", 1: "lines", 4: "points", 5: "lines", 2: "lines", 3: "polygons", 6: "polygons"}


def with_equal_shapes(cube: xr.DataArray, base: xr.DataArray) -> xr.DataArray:
    """Return `cube` with the geometries of `base` in place of those that are the same set of points.

    Raises
    ------
    OpenEOError
        IncompatibleGeometryTypes; IncompatibleDataCubes for other reference systems.
    """
    for name in set(geometry_dimensions(cube)) & set(geometry_dimensions(base)):
        theirs, ours = shapes_of(cube, name), shapes_of(base, name)
        _check_types(ours, theirs)
        systems = [crs_of(one, name) for one in (base, cube)]
        if not systems[0].equals(systems[1], ignore_axis_order=True):
            raise OpenEOError(
                "IncompatibleDataCubes",
                f"The cubes passed to 'merge_cubes' cannot be merged: the geometries of cube1 are in "
                f"{crs_text(systems[0])[:60]}, those of cube2 in {crs_text(systems[1])[:60]}. Use vector_reproject.",
            )
        left, right = shapely.STRtree(ours).query(theirs, predicate="intersects")
        equal = shapely.equals(theirs[left], ours[right])
        theirs[left[equal]] = ours[right[equal]]
        cube = with_shapes(cube, name, theirs)
    return cube


def _check_types(ours: Any, theirs: Any) -> None:
    held = [sorted({_type(shape) for shape in shapes if not shape.is_empty}) for shapes in (ours, theirs)]
    if len({*held[0], *held[1]}) > 1:
        message = (
            f"The geometry types are not compatible and can't be merged: cube1 has {', '.join(held[0])}, cube2 has "
            f"{', '.join(held[1])}. Choose geometries of one type, or make polygons of them with vector_buffer."
        )
        raise OpenEOError("IncompatibleGeometryTypes", message)


def _type(shape: Any) -> str:
    return _BASE.get(int(shapely.get_type_id(shape)), "collections of geometries")


def with_vector_coordinates(result: xr.DataArray, cube1: xr.DataArray, cube2: xr.DataArray) -> xr.DataArray:
    """Return the merged cube with its geometries' reference system and properties; those of cube1 go before."""
    for name in geometry_dimensions(result):
        crs = next(crs_of(cube, name) for cube in (cube1, cube2) if name in cube.dims)
        result = with_shapes(result, name, result[name].to_numpy(), crs)
        shapes = result[name].to_numpy().tolist()
        for key in _properties(cube1, name) | _properties(cube2, name):
            known: dict[Any, Any] = {}
            for cube in (cube2, cube1):
                if name in cube.dims and key in cube.coords:
                    known |= dict(zip(cube[name].to_numpy().tolist(), cube[key].to_numpy().tolist(), strict=True))
            result = result.assign_coords({key: (name, column([known.get(shape) for shape in shapes]))})
    return result


def _properties(cube: xr.DataArray, name: str) -> dict[str, None]:
    """Return the names of the coordinates along a dimension, in their order."""
    return {str(key): None for key, held in cube.coords.items() if key != name and held.dims == (name,)}
