"""Cubes as JSON and arrays, for the way into the sandbox and back. Imports numpy and xarray alone.

Headers hold dimensions and labels; values travel as an array. Labels are written exactly: dates as nanoseconds.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

Header = dict[str, Any]


class PackError(ValueError):
    """A cube that cannot leave or enter the sandbox; the message says why."""


def pack(cube: xr.DataArray) -> tuple[Header, np.ndarray]:
    """Return the header and the values of a cube; of its coordinates, those of numbers, dates, texts and booleans."""
    coords = [packed for name in cube.coords if (packed := _pack_coord(str(name), cube[name].variable)) is not None]
    values = np.ascontiguousarray(cube.values)
    if values.dtype.kind == "O":
        values = _of_objects(values)
    if values.dtype.kind in "mM":
        raise PackError("dates are labels, no values of a cube; return numbers")
    if values.dtype.kind not in "biuf":
        raise PackError(f"its values are {values.dtype}, not numbers")
    return {"dims": [str(d) for d in cube.dims], "coords": coords}, values


def unpack(header: Header, values: np.ndarray) -> xr.DataArray:
    """Return the cube that was packed."""
    dims = [str(d) for d in header["dims"]]
    coords = {coord["name"]: (coord["dims"], unpack_labels(coord)) for coord in header["coords"]}
    return xr.DataArray(values, dims=dims, coords=coords)


def pack_labels(labels: np.ndarray) -> Header | None:
    """Return labels as JSON; None for what is neither numbers, dates, texts nor booleans."""
    kind = labels.dtype.kind
    if kind == "M":
        return {"kind": "date", "data": labels.astype("datetime64[ns]").astype(np.int64).tolist()}
    if kind in "biu":
        return {"kind": labels.dtype.str, "data": labels.tolist()}
    if kind == "f":
        wide = labels.astype(np.float64)
        return {"kind": labels.dtype.str, "data": _without_nan(wide.tolist())}
    if kind in "UT" or (kind == "O" and all(isinstance(label, str) for label in labels.flat)):
        return {"kind": "text", "data": labels.astype(str).tolist()}
    return None


def _pack_coord(name: str, variable: xr.Variable) -> Header | None:
    packed = pack_labels(np.asarray(variable.values))
    return None if packed is None else {"name": name, "dims": [str(d) for d in variable.dims], **packed}


def unpack_labels(coord: Header) -> np.ndarray:
    """Return the labels that `pack_labels` wrote."""
    if coord["kind"] == "date":
        return np.asarray(coord["data"], np.int64).astype("datetime64[ns]")
    if coord["kind"] == "text":
        return np.asarray(coord["data"], str)
    dtype = np.dtype(coord["kind"])
    if dtype.kind == "f":
        return np.asarray(_with_nan(coord["data"]), dtype)
    return np.asarray(coord["data"], dtype)


def _without_nan(data: Any) -> Any:
    if isinstance(data, list):
        return [_without_nan(item) for item in data]
    return data if math.isfinite(data) else None


def _with_nan(data: Any) -> Any:
    if isinstance(data, list):
        return [_with_nan(item) for item in data]
    return math.nan if data is None else data


def _of_objects(values: np.ndarray) -> np.ndarray:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError):
        raise PackError("its values are Python objects, not numbers") from None
