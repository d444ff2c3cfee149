"""What a parameter's JSON schema says about a value, as far as it is plain: types, choices, callbacks.

The schema is a dict, or a list of alternatives, as in process specifications. Anything that cannot be told, such as
a reference, passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from processes.graph.flat import FlatGraph
from processes.graph.package import ParameterReference, ResultReference
from processes.graph.pixels import PerPixel

CUBES = ("datacube", "raster-cube", "vector-cube")
CALLBACK = "process-graph"
# Python's types of JSON values; bool comes first because it is an int, too.
_TYPES: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (type(None), ("null",)),
    (bool | np.bool_, ("boolean",)),
    (int | np.integer, ("integer", "number")),
    (float | np.floating, ("number",)),
    (str, ("string",)),
    (list | tuple | np.ndarray, ("array",)),
)
# What the value of a pixel may be; of an array of them, too: processes for single values work element by element.
_SINGLE = {"number", "integer", "boolean", "string", "null"}
_NAMES = {
    "null": "null",
    "boolean": "a boolean",
    "number": "a number",
    "integer": "an integer",
    "string": "a string",
    "array": "an array",
    "object": "an object",
}


def alternatives(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas of which a value has to fulfil one."""
    if isinstance(schema, list):
        for one in schema:
            yield from alternatives(one)
    elif isinstance(schema, Mapping):
        inner = schema.get("anyOf") or schema.get("oneOf")
        if inner and "type" not in schema:
            yield from alternatives(inner)
        else:
            yield schema


def subtypes(schema: Any) -> set[str]:
    """Return the subtypes that a value may have."""
    return {one["subtype"] for one in alternatives(schema) if "subtype" in one}


def takes_array(schema: Any) -> bool:
    """Whether a value may be an array."""
    return any("array" in _types(one) for one in alternatives(schema))


def callback_parameters(schema: Any) -> tuple[str, ...]:
    """Return the names that a callback can refer to; the callback may also be a value of an object."""
    names: dict[str, None] = {}
    for one in alternatives(schema):
        if one.get("subtype") == CALLBACK:
            names.update((parameter["name"], None) for parameter in one.get("parameters", []))
        elif isinstance(one.get("additionalProperties"), Mapping):
            names.update((name, None) for name in callback_parameters(one["additionalProperties"]))
    return tuple(names)


def mismatch(schema: Any, value: Any) -> str | None:
    """Return why `value` cannot be what the schema says, None if it may be.

    The text continues a sentence such as "The value ... is invalid:".
    """
    if isinstance(value, ResultReference | ParameterReference):
        return None
    schemas = list(alternatives(schema))
    if not schemas or any(not _types(one) and "subtype" not in one for one in schemas):
        return None
    reasons = [_reason(one, value) for one in schemas]
    if None in reasons:
        return None
    specific = [reason for reason in reasons if reason]
    return specific[0] if specific else f"{_describe(value)} was given, but it must be {_expected(schemas)}."


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _reason(schema: Mapping[str, Any], value: Any) -> str | None:
    """Return why a value does not fulfil one schema: None if it does, an empty string if the type differs."""
    if _is_callback(value) or schema.get("subtype") == CALLBACK:
        return None if _is_callback(value) and schema.get("subtype") == CALLBACK else ""
    if isinstance(value, xr.DataArray | xr.Dataset):
        return None if schema.get("subtype") in CUBES else ""
    if isinstance(value, PerPixel):
        return None if set(_types(schema)) & (_SINGLE if value.dim is None else _SINGLE | {"array"}) else ""
    if isinstance(value, Mapping):
        return _object_reason(schema, value)
    kinds = next((kinds for python, kinds in _TYPES if isinstance(value, python)), None)
    if kinds is None:
        return None  # an object of the back-end's own, such as a model
    if isinstance(value, float) and value.is_integer():
        kinds = ("number", "integer")
    if not set(kinds) & set(_types(schema)):
        return ""
    if "enum" in schema and not isinstance(value, list) and value not in schema["enum"]:
        return f"{value!r} is none of {', '.join(repr(choice) for choice in schema['enum'])}."
    return _items_reason(schema, value) if "array" in kinds else None


def _is_callback(value: Any) -> bool:
    return isinstance(value, FlatGraph) or (callable(value) and not isinstance(value, type))


def _object_reason(schema: Mapping[str, Any], value: Mapping[str, Any]) -> str | None:
    if "object" not in _types(schema) or schema.get("subtype") in CUBES:
        return ""
    if schema.get("subtype") == "geojson" and "type" not in value:
        return ""
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return "" if "type" in value else f"the object lacks {', '.join(missing)}."
    inner = schema.get("additionalProperties")
    if isinstance(inner, Mapping) and schema.get("subtype") == "metadata-filter":
        for name, item in value.items():
            reason = mismatch(inner, item)
            if reason:
                return f"'{name}': {reason}"
    return None


def _items_reason(schema: Mapping[str, Any], value: Any) -> str | None:
    """Return why an array's elements do not fulfil the schema; arrays of the back-end's own are not looked at."""
    if not isinstance(value, list):
        return None
    low, high = schema.get("minItems", 0), schema.get("maxItems", len(value))
    if not low <= len(value) <= high:
        wanted = f"{low}" if low == high else f"at least {low}" if len(value) < low else f"at most {high}"
        return f"the array has {len(value)} elements, but it must have {wanted}."
    for index, item in enumerate(value):
        reason = mismatch(schema["items"], item) if isinstance(schema.get("items"), Mapping | list) else None
        if reason:
            return f"element {index}: {reason}"
    return None


def _describe(value: Any) -> str:
    if _is_callback(value):
        return "a process graph"
    if isinstance(value, xr.DataArray | xr.Dataset):
        return "a data cube"
    if isinstance(value, PerPixel):
        return "the single value of each pixel" if value.dim is None else "an array"
    if isinstance(value, Mapping | list | tuple | np.ndarray):
        return "an object" if isinstance(value, Mapping) else "an array"
    return "null" if value is None else repr(value)[:100]


def _expected(schemas: list[Mapping[str, Any]]) -> str:
    names = dict.fromkeys(name for schema in schemas for name in _expected_names(schema))
    return " or ".join(names)


def _expected_names(schema: Mapping[str, Any]) -> list[str]:
    subtype = schema.get("subtype")
    if subtype == CALLBACK:
        return ["a process graph (a callback)"]
    if subtype in CUBES:
        return ["a data cube"]
    if subtype in ("bounding-box", "geojson"):
        return ["a bounding box" if subtype == "bounding-box" else "GeoJSON"]
    return [_NAMES.get(kind, kind) for kind in _types(schema)]
