"""One request: a piece unpacked, the user's code called, what it gave packed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import geopandas as gpd
import numpy as np
import xarray as xr

from udf.guest import openeo_embed
from udf.guest.code import load
from udf.guest.cubes import PackError, pack, unpack
from udf.guest.entries import Piece, find_entry
from udf.guest.failure import UserError, blamed
from udf.guest.features import pack_features, unpack_features
from udf.guest.messages import forwarded
from udf.guest.metadata import metadata_of, told_by

Log = Callable[[dict[str, Any]], None]
Answer = tuple[dict[str, Any], list[np.ndarray]]

_MOST_TEXT = 16 * 2**20


def handle(request: dict[str, Any], arrays: list[np.ndarray], log: Log) -> Answer:
    """Run the user's code once.

    Parameters
    ----------
    request : dict
        ``do`` is ``apply`` (run an entry point) or ``metadata`` (ask ``apply_metadata`` about ``dimensions``); ``code``
        the source; ``context`` what the user passes on; ``paths`` folders with further packages; ``proj`` the reference
        system; ``cube`` what `udf.guest.cubes.pack` made of a cube, ``features`` the geometries of a vector cube,
        ``value`` plain data.
    arrays : list of arrays
        The cube's values, of this call's own: user code may write into them.
    log : callable
        Takes the messages of ``openeo.udf.inspect`` as soon as they are written.

    Returns
    -------
    dict, list of arrays
        ``kind`` is ``cube``, ``value``, ``metadata`` or, where the code failed, ``error`` with the last line of the
        traceback as ``message`` and the user's frames as ``traceback``.
    """
    with forwarded(log):
        try:
            openeo_embed.offer(request.get("models") or (), request.get("kernels") or "")
            module = load(request["code"], request.get("paths") or ())
            if request["do"] == "metadata":
                return _metadata(module, request), []
            return _apply(module, request, arrays)
        except UserError as error:
            return {"kind": "error", "message": error.message, "traceback": error.trace}, []


def _metadata(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    function = getattr(module, "apply_metadata", None)
    if not callable(function):
        return {"kind": "metadata", "dimensions": None}
    with blamed():
        told = told_by(function(metadata_of(request["dimensions"]), request.get("context") or {}))
    return {"kind": "metadata", "dimensions": _plain(told)}


def _apply(module: Any, request: dict[str, Any], arrays: list[np.ndarray]) -> Answer:
    piece = Piece(context=request.get("context"), proj=request.get("proj") or {})
    if "cube" in request:
        piece.cube = unpack(request["cube"], arrays[0])
    if "features" in request:
        piece.features = unpack_features(request["features"])
    if "value" in request:
        piece.value, piece.is_value = request["value"], True
    call, function = find_entry(module, piece)
    return _packed(call(function, piece))


def _packed(piece: Any) -> Answer:
    if piece.is_value:
        return {"kind": "value", "value": _plain(piece.value)}, []
    answer: dict[str, Any] = {"kind": "cube"}
    arrays = []
    if piece.features is not None:
        answer["features"] = _packed_features(piece.features)
    if piece.cube is not None:
        try:
            answer["cube"], values = pack(xr.DataArray(piece.cube))
        except PackError as error:
            raise UserError(f"the cube that the function returned cannot be used: {error}") from None
        arrays.append(values)
    if len(answer) == 1:
        raise UserError("the function left neither a cube nor features nor structured data in the UdfData")
    return answer, arrays


def _packed_features(features: Any) -> dict[str, Any]:
    if not isinstance(features, gpd.GeoDataFrame):
        raise UserError(f"the geometries that the function returned are {type(features).__name__}, no GeoDataFrame")
    return pack_features(features)


def _plain(value: Any) -> Any:
    """Return data as JSON has it."""
    try:
        text = json.dumps(value, default=_python)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"the data that the function returned cannot be written as JSON: {error}") from None
    if len(text) > _MOST_TEXT:
        raise UserError(f"the data that the function returned has {len(text)} characters; {_MOST_TEXT} are possible")
    return json.loads(text, parse_constant=lambda _: None)


def _python(value: Any) -> Any:
    """Return what JSON does not know as something that it does."""
    if isinstance(value, np.ndarray | np.generic):
        return value.astype(str).tolist() if value.dtype.kind in "mM" else value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is no number, text, array or object")
