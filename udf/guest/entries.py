"""The entry points of user-defined functions: which one there is, and how it is called.

The names and signatures are those of the openEO Python client. Annotations may be left out, save for those that tell
an `XarrayDataCube` from a `DataArray`, and for functions of another name that take a `UdfData`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from openeo.udf import FeatureCollection, StructuredData, UdfData, XarrayDataCube

from udf.guest.failure import UserError, blamed

NAMES = ("apply_datacube", "apply_hypercube", "apply_timeseries", "apply_udf_data", "apply_vectorcube")
TIMES = ("t", "time", "temporal")


@dataclass
class Piece:
    """What an entry point gets, and what it gave: a cube, the features that it is about, or plain data."""

    cube: xr.DataArray | None = None
    features: Any = None
    value: Any = None
    is_value: bool = False
    context: Any = None
    proj: dict[str, Any] = field(default_factory=dict)


Entry = Callable[[Callable[..., Any], Piece], Piece]


def find_entry(module: ModuleType, piece: Piece) -> tuple[Entry, Callable[..., Any]]:
    """Return how to call which function for such a piece; `UserError` where the code has none that fits."""
    functions = {name: value for name, value in vars(module).items() if inspect.isfunction(value)}
    for name, call in _suitable(piece).items():
        if name in functions:
            return call, functions[name]
    for function in functions.values():
        if function.__module__ == module.__name__ and _takes_udf_data(function):
            return _call_udf_data, function
    found = [name for name in NAMES if name in functions]
    if not found:
        raise UserError(f"the code defines none of {', '.join(NAMES)}")
    kind = "plain values" if piece.is_value else "a raster cube" if piece.features is None else "a vector cube"
    fits = ", ".join(_suitable(piece))
    raise UserError(f"the code defines {', '.join(found)}, but the data is {kind}, which is given to {fits}")


def _suitable(piece: Piece) -> Mapping[str, Entry]:
    if piece.is_value:
        return {"apply_udf_data": _call_udf_data}
    raster: dict[str, Entry] = {
        "apply_datacube": _call_datacube,
        "apply_hypercube": _call_datacube,
        "apply_timeseries": _call_timeseries,
        "apply_udf_data": _call_udf_data,
    }
    return raster if piece.features is None else {"apply_vectorcube": _call_vectorcube, **raster}


def _takes_udf_data(function: Callable[..., Any]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    return len(parameters) == 1 and _annotation(parameters[0].annotation).endswith("UdfData")


def _annotation(annotation: Any) -> str:
    """Return an annotation as text, whichever way it was written."""
    if isinstance(annotation, str):
        return annotation.strip("\"' ")
    return getattr(annotation, "__name__", str(annotation))


def _called(function: Callable[..., Any], *values: Any, context: Any) -> Any:
    """Call a function of the user's with values by position and, where it takes one, the context."""
    with blamed():
        parameters = inspect.signature(function).parameters
        if "context" in parameters:
            return function(*values, context=context)
        takes_more = len(parameters) > len(values) or any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        return function(*values, context) if takes_more else function(*values)


def _call_datacube(function: Callable[..., Any], piece: Piece) -> Piece:
    parameters = list(inspect.signature(function).parameters.values())
    annotation = _annotation(parameters[0].annotation) if parameters else ""
    is_wrapped = annotation.rpartition(".")[2] in ("XarrayDataCube", "DataCube")
    assert piece.cube is not None
    given = XarrayDataCube(piece.cube) if is_wrapped else piece.cube
    return Piece(cube=_cube(_called(function, given, context=piece.context), piece.cube), features=piece.features)


def _cube(result: Any, given: xr.DataArray | None) -> xr.DataArray:
    """Return the cube that a function gave; arrays and numbers without names fit the cube that went in."""
    if isinstance(result, XarrayDataCube):
        result = result.get_array()
    if isinstance(result, xr.DataArray):
        return result
    if isinstance(result, np.ndarray | np.generic | int | float) and given is not None:
        values = np.asarray(result)
        if values.shape == given.shape:
            return given.copy(data=values)
        if values.ndim == 0:
            return xr.DataArray(values)
    raise UserError(f"the function returned {type(result).__name__}, not an xarray.DataArray")


def _call_timeseries(function: Callable[..., Any], piece: Piece) -> Piece:
    """Call the function for the series of each pixel and band; series come back, or numbers."""
    cube = piece.cube
    assert cube is not None
    dim = next((d for d in cube.dims if d in TIMES or (d in cube.coords and cube[d].dtype.kind == "M")), None)
    if dim is None:
        raise UserError(f"apply_timeseries needs a dimension of time; the data has {', '.join(map(str, cube.dims))}")
    ordered = cube.transpose(..., dim)
    index = pd.Index(ordered[dim].values) if dim in ordered.coords else pd.RangeIndex(ordered.sizes[dim])
    rows = ordered.values.reshape(-1, ordered.sizes[dim])
    made = [np.asarray(_called(function, pd.Series(row.copy(), index=index), context=piece.context)) for row in rows]
    lead = ordered.isel({dim: 0}, drop=True)
    if not {m.shape for m in made} <= {(len(index),)}:
        if {m.shape for m in made} != {()}:
            shapes = sorted({str(m.shape) for m in made})
            raise UserError(f"apply_timeseries returned series of {', '.join(shapes)} values; {len(index)} went in")
        return Piece(cube=lead.copy(data=np.array(made).reshape(lead.shape)), features=piece.features)
    values = np.array(made).reshape(ordered.shape)
    return Piece(cube=ordered.copy(data=values).transpose(*cube.dims), features=piece.features)


def _call_udf_data(function: Callable[..., Any], piece: Piece) -> Piece:
    data = UdfData(
        proj=piece.proj,
        datacube_list=None if piece.cube is None else [XarrayDataCube(piece.cube)],
        feature_collection_list=None if piece.features is None else [FeatureCollection("features", piece.features)],
        structured_data_list=[StructuredData(piece.value)] if piece.is_value else None,
        user_context=piece.context if isinstance(piece.context, dict) else {},
    )
    with blamed():
        result = function(data)
        result = result if isinstance(result, UdfData) else data
        structured = result.get_structured_data_list()
        cubes, collections = result.get_datacube_list(), result.get_feature_collection_list()
    if structured:
        values = [item.data for item in structured]
        return Piece(value=values[0] if len(values) == 1 else values, is_value=True)
    if cubes and len(cubes) > 1:
        raise UserError(f"the function left {len(cubes)} cubes in the UdfData; leave one")
    features = collections[0].data if collections else piece.features
    return Piece(cube=_cube(cubes[0], None) if cubes else None, features=features)


def _call_vectorcube(function: Callable[..., Any], piece: Piece) -> Piece:
    result = _called(function, piece.features, piece.cube, context=piece.context)
    if not isinstance(result, tuple) or len(result) != 2:
        raise UserError("apply_vectorcube must return two things: the geometries and the cube")
    return Piece(features=result[0], cube=_cube(result[1], piece.cube))
