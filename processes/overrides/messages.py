"""`inspect` and texts."""

from __future__ import annotations

import json
from typing import Any

import xarray as xr

from processes.environment import Environment

# A log entry is for reading; longer values are cut.
_LONGEST = 1000
_LONGEST_CODE = 64


def inspect(data: Any, message: str = "", code: str = "User", level: str = "info", *, env: Environment) -> Any:
    """Add an entry to the log of the evaluation and return `data` as it is; cubes and arrays are only described."""
    if env.halo is None:  # what lies round the cube is evaluated once more, and not worth a second entry
        described = _described(data) if env.ledger.has_room() else None
        env.ledger.say({"level": level, "code": str(code)[:_LONGEST_CODE], "message": message, "data": described})
    return data


def text_concat(data: list[Any], separator: Any = "") -> str:
    """Merge the texts of the elements; numbers, booleans and null "get converted to their (lower case)" text."""
    return _text(separator).join(_text(item) for item in data)


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item)


def _described(data: Any) -> Any:
    if isinstance(data, xr.DataArray):
        return {"dimensions": {str(name): size for name, size in data.sizes.items()}, "data_type": str(data.dtype)}
    if hasattr(data, "shape"):
        return {"shape": list(data.shape), "data_type": str(data.dtype)}
    text = json.dumps(data, default=str)
    return data if len(text) <= _LONGEST else text[:_LONGEST]
