"""What processes take for a vector cube: one, GeoJSON, or a table of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from processes.errors import invalid
from processes.sources.extents import plain
from processes.vectors.cubes import LONGITUDE_LATITUDE, geometry_dimensions, make_cube
from processes.vectors.geojson import read_geojson


def require_vector(value: Any, parameter: str, process: str) -> xr.DataArray:
    """Return a vector cube, GeoJSON or a table of features as a vector cube; ProcessParameterInvalid for others."""
    value = plain(value)
    if isinstance(value, Mapping):
        return read_geojson(value, parameter, process).cube()
    if isinstance(value, xr.DataArray):
        if not geometry_dimensions(value):
            held = ", ".join(map(str, value.dims)) or "none"
            raise invalid(parameter, process, f"the cube has no dimension of geometries; its dimensions are {held}")
        return value
    if hasattr(value, "geometry") and hasattr(value, "crs"):  # a GeoDataFrame
        names = [name for name in value.columns if name != value.geometry.name]
        columns = {str(name): value[name].tolist() for name in names}
        return make_cube(value.geometry, value.crs or LONGITUDE_LATITUDE, columns)
    raise invalid(parameter, process, f"it must be a vector cube or GeoJSON, not {type(value).__name__}")
