"""Values as JSON-ready objects: no NaN, no numpy, geometries as GeoJSON, times as RFC 3339."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from backend.results.base import unsuitable
from backend.results.raster import crs_of, is_raster, properties_of
from processes.sources.extents import crs_text
from processes.vectors.cubes import crs_of as crs_of_shapes
from processes.vectors.cubes import geometry_dimensions

# Text takes ten times the room of numbers, and readers choke on it first.
MOST_CELLS = 2_000_000


def check_size(cells: int, form: str) -> None:
    """Refuse to write that much as text."""
    if cells > MOST_CELLS:
        raise unsuitable(form, f"it has {cells} values, text formats hold {MOST_CELLS}; save it as netCDF or GTiff")


def jsonable(value: Any) -> Any:
    """Return `value` as JSON writes it; NaN and infinities, which JSON does not have, become null."""
    if isinstance(value, xr.DataArray):
        return cube_object(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if hasattr(value, "__geo_interface__"):
        return jsonable(value.__geo_interface__)
    return _scalar(value)


def cube_object(cube: xr.DataArray) -> Any:
    """Return a cube as an object of its dimensions, labels and nested values; without dimensions, as its value.

    It begins with the dimensions' names: viewers look at the first value to guess the kind, and stumble over null.
    """
    if not cube.dims:
        return jsonable(cube.values)
    labels = {str(dim): _array(cube[dim].values) for dim in cube.dims if dim in cube.coords}
    return {"dims": [str(dim) for dim in cube.dims], "labels": labels, **_about(cube), "data": _array(cube.values)}


def _about(cube: xr.DataArray) -> dict[str, Any]:
    """Return the reference system of pixels or geometries, and the properties of geometries."""
    if is_raster(cube):
        crs = crs_of(cube)
        return {"crs": crs.to_string()} if crs is not None else {}
    names = geometry_dimensions(cube)
    if not names:
        return {}
    properties = {name: _array(held.values) for dim in names for name, held in properties_of(cube, dim).items()}
    crs = crs_of_shapes(cube, names[0])
    return {"crs": crs_text(crs), **({"properties": properties} if properties else {})}


def _array(array: np.ndarray[Any, Any]) -> Any:
    if array.dtype.kind == "f":
        # By way of text: 0.1 in float32 is written 0.1, not 0.10000000149011612.
        exact = array.astype("U").astype(np.float64) if array.dtype.itemsize < 8 else array
        return _without(~np.isfinite(exact), exact.astype(object))
    if array.dtype.kind == "M":
        whole = array == array.astype("datetime64[s]")
        texts = np.char.add(np.datetime_as_string(array, unit="s" if (whole | np.isnat(array)).all() else "ms"), "Z")
        return _without(np.isnat(array), texts.astype(object))
    if array.dtype.kind == "O":
        return _nested(array.tolist())
    return array.tolist()


def _without(missing: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> Any:
    return np.where(missing, np.array(None, dtype=object), values).tolist()


def _nested(value: Any) -> Any:
    return [_nested(item) for item in value] if isinstance(value, list) else jsonable(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        return _array(np.asarray(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise unsuitable("JSON", f"a value of the kind {type(value).__name__} has no JSON form")
