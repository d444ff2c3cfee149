"""Vector cubes: how they are made, and how their geometries are exchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyproj
import shapely
import xarray as xr
import xvec  # noqa: F401  (registers the accessor)
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.sources.extents import crs_text, parse_crs

GEOMETRY = "geometry"
LONGITUDE_LATITUDE = "EPSG:4326"
_TEXT_BYTES = 16 * 2**20


def make_cube(
    shapes: Iterable[Any],
    crs: Any,
    properties: Mapping[str, Sequence[Any]] | None = None,
    values: NDArray[Any] | None = None,
    labels: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Return a vector cube.

    Parameters
    ----------
    shapes : iterable of n shapely geometries
    crs : anything pyproj understands
    properties : mapping of str to n values, optional
        Become coordinates along the geometries: numbers stay numbers, everything else becomes text.
    values : array (n, ...), optional
        NaN by default: a cube of geometries alone has no values.
    labels : mapping of str to labels, optional
        The further dimensions of `values` with their labels.
    """
    geometries = as_array(shapes)
    filled = np.full(len(geometries), np.nan, np.float32) if values is None else values
    further = dict(labels or {})
    taken = {GEOMETRY, *further}
    columns = {name: (GEOMETRY, column(held)) for name, held in (properties or {}).items() if name not in taken}
    dims = (GEOMETRY, *further)
    cube = xr.DataArray(filled, dims=dims, coords={GEOMETRY: geometries, **further, **columns})
    indexed: xr.DataArray = cube.xvec.set_geom_indexes(GEOMETRY, crs=crs)
    return indexed


def as_array(shapes: Iterable[Any]) -> NDArray[Any]:
    """Return geometries as an array of objects (n,)."""
    listed = list(shapes)
    array = np.empty(len(listed), object)
    array[:] = listed
    return array


def column(values: Sequence[Any]) -> NDArray[Any]:
    """Return a property of all features: numbers as such (NaN where there is none), everything else as text."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in values):
        return np.array(values, bool)
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        whole = len(known) == len(values) and all(isinstance(value, int) and abs(value) < 2**63 for value in values)
        return np.array([np.nan if value is None else value for value in values], np.int64 if whole else np.float64)
    texts = ["" if value is None else str(value) for value in values]
    # Arrays of str give every text the room of the longest: one long text would fill the memory.
    room = 4 * max(map(len, texts), default=0) * len(texts)
    return np.array(texts, str if room <= _TEXT_BYTES else object)


def geometry_dimensions(cube: xr.DataArray) -> list[str]:
    """Return the dimensions that hold geometries."""
    return [str(name) for name in cube.dims if name in cube.coords and _are_geometries(cube[name].to_numpy())]


def main_dimension(cube: xr.DataArray, parameter: str, process: str) -> str:
    """Return the one dimension of geometries; ProcessParameterInvalid where there are several."""
    found = geometry_dimensions(cube)
    if len(found) != 1:
        raise invalid(parameter, process, f"the cube has several dimensions of geometries: {', '.join(found)}")
    return found[0]


def shapes_of(cube: xr.DataArray, dimension: str) -> NDArray[Any]:
    """Return the geometries (n,); features without one have an empty geometry."""
    empty = shapely.GeometryCollection()
    return as_array(empty if shape is None else shape for shape in cube[dimension].to_numpy())


def crs_of(cube: xr.DataArray, dimension: str) -> pyproj.CRS:
    """Return the reference system of the geometries; longitude and latitude where the cube does not say."""
    crs = getattr(cube.xindexes.get(dimension), "crs", None) or cube[dimension].attrs.get("crs")
    return pyproj.CRS.from_user_input(LONGITUDE_LATITUDE if crs is None else crs)


def with_shapes(cube: xr.DataArray, dimension: str, shapes: Iterable[Any], crs: Any = None) -> xr.DataArray:
    """Return `cube` with other geometries, one per label, in `crs` (by default the one that it has)."""
    system = crs_of(cube, dimension) if crs is None else crs
    bare = cube.drop_indexes(dimension) if dimension in cube.xindexes else cube
    # Without attributes: the former reference system stands in them.
    moved = bare.assign_coords({dimension: xr.Variable(dimension, as_array(shapes))})
    indexed: xr.DataArray = moved.xvec.set_geom_indexes(dimension, crs=system)
    return indexed


def require_metres(cube: xr.DataArray, dimension: str, process: str) -> None:
    """Raise UnitMismatch unless the geometries' reference system counts in metres."""
    crs = crs_of(cube, dimension)
    if all(axis.unit_name in ("metre", "meter") for axis in crs.axis_info[:2]):
        return
    units = crs.axis_info[0].unit_name if crs.axis_info else "unknown units"
    raise OpenEOError(
        "UnitMismatch",
        f"'{process}' takes its distance in meters, but the reference system of the geometries, "
        f"{crs_text(crs)[:60]}, counts in {units}. Convert them with `vector_reproject` first.",
    )


def reproject(shapes: NDArray[Any], source: pyproj.CRS, target: Any) -> NDArray[Any]:
    """Return geometries (n,) of `source` in the reference system `target`."""
    if source.equals(pyproj.CRS.from_user_input(target), ignore_axis_order=True):
        return shapes
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    move: Callable[..., Any] = shapely.transform
    return as_array(move(shapes, lambda points: np.column_stack(transformer.transform(points[:, 0], points[:, 1]))))


def parse_projection(value: Any, parameter: str, process: str) -> str:
    """Return the reference system that a client names; see `parse_crs`."""
    return crs_text(parse_crs(value, parameter, process))


def _are_geometries(labels: NDArray[Any]) -> bool:
    """Whether labels are geometries; a dimension without labels is none unless its type tells."""
    if labels.dtype != object or labels.ndim != 1:
        return False
    return all(label is None or isinstance(label, shapely.Geometry) for label in labels)
