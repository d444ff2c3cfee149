"""Training data: the numbers of each geometry, and what a model shall say of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr
import xvec  # noqa: F401  (registers the accessor)
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import labels_of, require_cube
from processes.overrides.aggregate_spatial import geometry_frame

# The property of this name is the target where geometries have several.
TARGET = "target"


@dataclass(frozen=True)
class Samples:
    """Training data.

    Parameters
    ----------
    features : (n, features) array, NumPy or Dask
        One row for each geometry, in the order of the predictors.
    targets : (n,) array of float, NumPy or Dask
        NaN where a geometry has none.
    names : tuple of str
        The features' labels.
    classes : tuple of str
        Where targets are texts: the sorted texts, of which `targets` are the positions.
    bbox : tuple of float, optional
        West, south, east, north in EPSG:4326; None where the reference system is not known.
    """

    features: Any
    targets: Any
    names: tuple[str, ...]
    classes: tuple[str, ...]
    bbox: tuple[float, float, float, float] | None


def read_samples(predictors: Any, target: Any, process: str) -> Samples:
    """Bring predictors and target together, geometry by geometry; nothing is computed.

    Parameters
    ----------
    predictors : xr.DataArray
        A vector cube (geometry, features), or (geometry,) for a single feature.
    target : xr.DataArray, GeoDataFrame or GeoJSON
        The property ``target`` if the geometries have it; else the values of a vector cube without other dimensions;
        else the only property that there is.

    Raises
    ------
    OpenEOError
        DimensionMissing, ProcessParameterInvalid.
    """
    cube = require_cube(predictors, process, "predictors")
    geometry = _geometry_dimension(cube, "predictors", process)
    others = [str(d) for d in cube.dims if d != geometry]
    if len(others) > 1:
        reason = f"it must have one dimension beside '{geometry}', but it has {', '.join(others)}; reduce the others"
        raise invalid("predictors", process, reason)
    names = tuple(str(label) for label in labels_of(cube, others[0])) if others else ("0",)
    features = cube.transpose(geometry, *others).data.reshape(cube.sizes[geometry], len(names))
    frame = geometry_frame(cube)
    values, classes, places = _targets(target, process)
    order = _places_of(frame, places, process)
    return Samples(features, values if order is None else values[order], names, classes, _bbox(frame))


def _geometry_dimension(cube: xr.DataArray, parameter: str, process: str) -> str:
    found = [str(d) for d in cube.dims if d in cube.xvec.geom_coords]
    if not found:
        named = ", ".join(map(str, cube.dims)) or "none"
        message = (
            f"The cube passed for parameter '{parameter}' of '{process}' has no dimension of geometries; it has "
            f"{named}. Pass what aggregate_spatial returns."
        )
        raise OpenEOError("DimensionMissing", message)
    return found[0]


def _targets(target: Any, process: str) -> tuple[Any, tuple[str, ...], gpd.GeoDataFrame]:
    """Return the values, what they stand for where they were texts, and the geometries that they belong to."""
    if not isinstance(target, xr.DataArray):
        frame = _frame(target, process)
        properties = {str(name): frame[name].to_numpy() for name in frame.columns if name != frame.geometry.name}
        return *_numbers(_only(properties, process), process), frame
    geometry = _geometry_dimension(target, "target", process)
    frame = geometry_frame(target)
    properties = {str(k): v.to_numpy() for k, v in target.coords.items() if v.dims == (geometry,) and k != geometry}
    if TARGET not in properties and target.size == target.sizes[geometry] and not (properties and _is_empty(target)):
        return *_numbers(target.transpose(geometry, ...).data.reshape(-1), process), frame
    return *_numbers(_only(properties, process), process), frame


def _is_empty(target: xr.DataArray) -> bool:
    """Whether a vector cube has no values, as one of mere geometries and properties; lazy ones have some."""
    return isinstance(target.data, np.ndarray) and target.dtype.kind == "f" and bool(np.isnan(target.data).all())


def _frame(target: Any, process: str) -> gpd.GeoDataFrame:
    try:
        return geometry_frame(target)
    except (OpenEOError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"it must be a vector cube, or GeoJSON features with a property '{TARGET}' ({error})"
        raise invalid("target", process, reason) from error


def _only(properties: dict[str, Any], process: str) -> Any:
    """Return the property to learn."""
    if TARGET in properties:
        return properties[TARGET]
    if len(properties) == 1:
        return next(iter(properties.values()))
    there = f"there are {', '.join(properties)}" if properties else "there are none"
    reason = f"its geometries need a property named '{TARGET}', or just one property; {there}"
    raise invalid("target", process, reason)


def _numbers(values: Any, process: str) -> tuple[Any, tuple[str, ...]]:
    """Return targets as numbers, NaN for none; texts are numbered in their order."""
    if values.dtype.kind in "iufb":
        return values.astype(np.float64), ()
    if not isinstance(values, np.ndarray):
        raise invalid("target", process, f"its values are of the kind {values.dtype}, but must be numbers or texts")
    items = values.tolist()
    texts = [isinstance(item, str) for item in items]
    if not any(texts) and all(item is None or isinstance(item, bool | int | float) for item in items):
        return np.array([np.nan if item is None else item for item in items], np.float64), ()
    missing = [item is None or item == "" or item != item for item in items]
    if not all(text or gone for text, gone in zip(texts, missing, strict=True)):
        raise invalid("target", process, "its values must be all numbers or all texts, null for none")
    classes = tuple(sorted({item for item, gone in zip(items, missing, strict=True) if not gone}))
    known = {name: float(i) for i, name in enumerate(classes)}
    return np.array([known.get(item, np.nan) for item in items], np.float64), classes


def _places_of(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame, process: str) -> NDArray[np.intp] | None:
    """Return which of the target's geometries each of the predictors' is; None where they are the same in order."""
    if ours.crs is not None and theirs.crs is not None and ours.crs != theirs.crs:
        reason = f"its geometries are in {theirs.crs.to_string()[:60]}, those of the predictors in "
        raise invalid("target", process, f"{reason}{ours.crs.to_string()[:60]}; use the same geometries for both")
    one, two = (shapely.to_wkb(shapely.normalize(frame.geometry.to_numpy())).tolist() for frame in (ours, theirs))
    if one == two:
        return None
    known = {shape: i for i, shape in enumerate(two)}
    if len(known) < len(two):
        reason = "some of its geometries occur more than once; then all have to be in the order of the predictors"
        raise invalid("target", process, reason)
    lacking = sum(shape not in known for shape in one)
    if lacking:
        reason = f"{lacking} of the {len(one)} geometries of the predictors are not among its {len(two)} geometries"
        raise invalid("target", process, f"{reason}; aggregate the predictors over the target's geometries")
    return np.array([known[shape] for shape in one], np.intp)


def _bbox(frame: gpd.GeoDataFrame) -> tuple[float, float, float, float] | None:
    shapes = frame.geometry[~frame.geometry.is_empty]
    if frame.crs is None or not len(shapes):
        return None
    west, south, east, north = map(float, shapes.to_crs("EPSG:4326").total_bounds)
    return (west, south, east, north) if np.isfinite([west, south, east, north]).all() else None
