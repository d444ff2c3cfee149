"""GeoJSON read into features, and `load_geojson`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
import shapely.geometry
import xarray as xr
from numpy.typing import NDArray
from shapely.errors import ShapelyError

from processes.errors import OpenEOError, invalid
from processes.sources.extents import crs_text, parse_crs, plain
from processes.vectors.cubes import LONGITUDE_LATITUDE, make_cube

_TYPES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
PROPERTIES = "properties"


@dataclass(frozen=True, eq=False)
class Features:
    """Geometries with the properties of each; `are_features` is False for a bare geometry."""

    shapes: Sequence[Any]
    properties: Sequence[Mapping[str, Any]]
    ids: Sequence[Any]
    crs: str
    are_features: bool = True

    def columns(self) -> dict[str, list[Any]]:
        """Return the properties by name, None where a feature lacks one; ids as `id` unless a property is so named."""
        names = dict.fromkeys(str(name) for one in self.properties for name in one)
        columns = {name: [one.get(name) for one in self.properties] for name in names}
        if any(id is not None for id in self.ids):
            columns.setdefault("id", list(self.ids))
        return columns

    def cube(self, values: NDArray[Any] | None = None, labels: Mapping[str, Any] | None = None) -> xr.DataArray:
        """Return the vector cube of the features."""
        return make_cube(self.shapes, self.crs, self.columns(), values, labels)


def load_geojson(data: Any, properties: Sequence[str] = ()) -> xr.DataArray:
    """Convert GeoJSON into a vector cube.

    Parameters
    ----------
    data : GeoJSON
        A geometry (no GeometryCollection), a Feature or a FeatureCollection; in longitude and latitude unless it has
        the former `crs` member.
    properties : list of str, optional
        Properties that become values along a further dimension, `properties`: one label per property, or, for a
        single property that holds arrays, one per index. All properties are kept as coordinates, too.

    Returns
    -------
    xr.DataArray
        ``(geometry,)`` without values (NaN), or ``(geometry, properties)``.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid.
    """
    features = read_geojson(plain(data), "data", "load_geojson")
    names = list(properties or ())
    if len(set(names)) != len(names) or not all(isinstance(name, str) for name in names):
        raise invalid("properties", "load_geojson", "it must be an array of distinct names of properties")
    if not names or not features.are_features:
        return features.cube()
    values, labels = _values(features, names)
    return features.cube(values, {PROPERTIES: labels})


def read_geojson(document: Any, parameter: str, process: str) -> Features:
    """Return the features of a GeoJSON object; `OpenEOError` ProcessParameterInvalid says what is wrong."""
    try:
        listed, are_features = _features(document)
        shapes = [_shape(one.get("geometry")) for one in listed]
        member = document.get("crs") or {}
        name = member.get("properties", {}).get("name", LONGITUDE_LATITUDE)
        properties = [dict(one.get("properties") or {}) for one in listed]
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, ShapelyError) as error:
        reason = f"it is not valid GeoJSON ({type(error).__name__}: {str(error)[:200]})"
        raise invalid(parameter, process, reason) from error
    wrong = sorted({shape.geom_type for shape in shapes if not shape.is_empty} - set(_TYPES))
    if wrong:
        raise invalid(parameter, process, f"it holds {', '.join(wrong)}, which is not supported; take it apart first")
    crs = crs_text(parse_crs(name, parameter, process))
    return Features(shapes, properties, [one.get("id") for one in listed], crs, are_features)


def _features(document: Any) -> tuple[list[Mapping[str, Any]], bool]:
    if not isinstance(document, Mapping):
        raise TypeError("it is no object")
    kind = document["type"]
    if kind == "FeatureCollection":
        return list(document["features"]), True
    if kind == "Feature":
        return [document], True
    if kind not in (*_TYPES, "GeometryCollection"):
        raise ValueError(f"its type is {kind!r}")
    return [{"geometry": document}], False


def _shape(geometry: Any) -> Any:
    """Return the geometry in two dimensions; none becomes an empty one."""
    if geometry is None:
        return shapely.GeometryCollection()
    shape = shapely.force_2d(shapely.geometry.shape(geometry))
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        raise ValueError("coordinates must be finite numbers")
    return shape


def _values(features: Features, names: list[str]) -> tuple[NDArray[Any], list[Any]]:
    """Return values (n, labels) and the labels of the dimension `properties`."""
    rows = [[one.get(name) for name in names] for one in features.properties]
    has_arrays = any(isinstance(value, list) for row in rows for value in row)
    if not has_arrays:
        return _table(rows, len(names)), names
    if len(names) > 1:
        message = "several properties must hold single values each; an array is possible for one property alone"
        raise invalid("properties", "load_geojson", message)
    arrays = [value if isinstance(value, list) else [value] for (value,) in rows]
    width = max(len(array) for array in arrays)
    return _table([array + [None] * (width - len(array)) for array in arrays], width), list(range(width))


def _table(rows: list[list[Any]], width: int) -> NDArray[Any]:
    """Return rows as numbers with NaN for missing values, as objects where some are text."""
    cells = [value for row in rows for value in row]
    if any(isinstance(value, dict | list) for value in cells):
        raise invalid("properties", "load_geojson", "values must be numbers, booleans or text")
    if any(isinstance(value, str) for value in cells):
        table = np.empty((len(rows), width), object)
        table[:] = rows
        return table
    try:
        return np.array([[np.nan if v is None else v for v in row] for row in rows], np.float64).reshape(-1, width)
    except OverflowError as error:
        raise OpenEOError("ProcessParameterInvalid", "A property holds a number beyond all bounds.") from error
