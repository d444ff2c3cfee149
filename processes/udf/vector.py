"""`run_udf` on vector cubes: geometries, properties and values in one call."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr

from processes.environment import Environment
from processes.overrides._dims import da
from processes.udf.blocks import known_coords, require_room
from processes.udf.plan import Foreseen, foresee
from processes.udf.source import PROCESS
from processes.vectors.cubes import as_array, crs_of, main_dimension, make_cube, shapes_of
from udf.user_code import Given, UserCode, packed_features, run_for_value, run_on_whole


def run_on_vector_cube(cube: xr.DataArray, code: UserCode, env: Environment) -> Any:
    """Run the code on a vector cube, or on what a callback sees of it.

    Which geometries come back, and with which dimensions, is known from a trial; values in memory serve for that
    themselves. The geometries must not depend on values that are still lazy.
    """
    geometry = main_dimension(cube, "data", PROCESS)
    dims = [geometry, *(str(d) for d in cube.dims if d != geometry)]
    ordered = cube.transpose(*dims)
    require_room(ordered.data, dims, code.rules.memory)
    sizes = {d: ordered.sizes[d] for d in dims}
    bare = {str(n): c.variable for n, c in ordered.coords.items() if n != geometry}
    coords = known_coords(sizes, bare)
    coords[geometry] = xr.Variable(geometry, np.arange(sizes[geometry]))
    given = Given(tuple(dims), coords, packed_features(_frame(ordered, geometry)))
    values = ordered.data.rechunk(-1) if isinstance(ordered.data, da.Array) else np.asarray(ordered.data)
    known = None if isinstance(values, da.Array) else values
    foreseen = foresee(code, given, sizes, ordered.dtype, env, known)
    if foreseen.expected is None:
        return run_for_value(values, code, given)
    return _vector_cube(foreseen, values, code, given, ordered, geometry)


def _frame(cube: xr.DataArray, geometry: str) -> Any:
    columns = {str(n): c.to_numpy() for n, c in cube.coords.items() if c.dims == (geometry,) and n != geometry}
    shapes = gpd.GeoSeries(shapes_of(cube, geometry), crs=crs_of(cube, geometry).to_wkt())
    return gpd.GeoDataFrame(columns, geometry=shapes)


def _vector_cube(
    foreseen: Foreseen, values: Any, code: UserCode, given: Given, cube: xr.DataArray, geometry: str
) -> xr.DataArray:
    """Return what comes out as a vector cube; one without geometries is a plain cube."""
    expected = foreseen.expected
    assert expected is not None
    frame = foreseen.features if isinstance(foreseen.features, gpd.GeoDataFrame) else _frame(cube, geometry)
    properties = {str(n): frame[n].tolist() for n in frame.columns if n != frame.geometry.name}
    crs = crs_of(cube, geometry) if frame.crs is None else frame.crs
    shapes = as_array(frame.geometry.array)
    if not expected.dims:  # geometries alone
        return make_cube(shapes, crs, properties)
    made = run_on_whole(values, code, given, expected)
    further = {d: _labels(d, expected, cube) for d in expected.dims if d != geometry}
    if geometry not in expected.dims:
        return xr.DataArray(made, dims=expected.dims, coords=further)
    order = [geometry, *further]
    axes = [expected.dims.index(d) for d in order]
    whole = make_cube(shapes, crs, properties, made.transpose(axes), further)
    return whole if geometry == "geometry" else whole.rename({"geometry": geometry})


def _labels(dim: str, expected: Any, cube: xr.DataArray) -> Any:
    return expected.labels[dim] if dim in expected.labels else cube[dim].values
