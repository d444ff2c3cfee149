"""`filter_vector`: the geometries that stand in a relation to others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
import shapely
import xarray as xr

from processes.errors import invalid
from processes.sources.extents import Bbox, transformed_bounds
from processes.vectors.cubes import crs_of, main_dimension, reproject, shapes_of
from processes.vectors.inputs import require_vector

RELATIONS = ("intersects", "disjoint", "equals", "touches", "crosses", "overlaps", "contains", "within")


def filter_vector(data: Any, geometries: Any, relation: str = "intersects") -> xr.DataArray:
    """Keep the geometries of `data` that stand in a relation to the union of `geometries`.

    Parameters
    ----------
    data : vector cube or GeoJSON
        The candidates; those that are empty are never kept.
    geometries : vector cube or GeoJSON
        In any reference system.
    relation : str
        Read from the candidate to the union: ``within`` keeps what lies inside of the union, ``contains`` what holds
        it.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid.
    """
    cube = require_vector(data, "data", "filter_vector")
    base = require_vector(geometries, "geometries", "filter_vector")
    if relation not in RELATIONS:
        raise invalid("relation", "filter_vector", f"{relation!r} is none of {', '.join(RELATIONS)}")
    name = main_dimension(cube, "data", "filter_vector")
    base_name = main_dimension(base, "geometries", "filter_vector")
    theirs = reproject(shapes_of(base, base_name), crs_of(base, base_name), crs_of(cube, name))
    union = shapely.union_all(shapely.make_valid(theirs))
    shapely.prepare(union)
    candidates = shapely.make_valid(shapes_of(cube, name))
    # Prepared geometries are fast on the left: "a within b" is asked as "b contains a".
    mirrored = {"contains": "within", "within": "contains"}.get(relation, relation)
    holds = np.asarray(getattr(shapely, mirrored)(union, candidates), bool)
    return cube.isel({name: np.flatnonzero(holds & ~shapely.is_empty(candidates))})


def within_box(cube: xr.DataArray, box: Bbox, parameter: str, process: str) -> xr.DataArray:
    """Keep the geometries that lie fully within a bounding box; empty ones and those on its edge alone do not.

    A box in another reference system counts as the smallest box round it in that of the geometries.
    """
    name = main_dimension(cube, parameter, process)
    bounds, crs = box.bounds, crs_of(cube, name)
    if not crs.equals(pyproj.CRS(box.crs), ignore_axis_order=True):
        bounds = transformed_bounds(bounds, box.crs, crs.to_wkt())
        if not np.isfinite(bounds).all():
            raise invalid(parameter, process, f"{box} cannot be transformed to the geometries' reference system")
    shapes = shapely.make_valid(shapes_of(cube, name))
    inside = shapely.within(shapes, shapely.box(*bounds)) & ~shapely.is_empty(shapes)
    return cube.isel({name: np.flatnonzero(inside)})
