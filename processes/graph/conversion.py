"""Arguments as the objects that implementations work with, where the parameter's schema says so and nowhere else."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError
from pyproj.exceptions import CRSError

from processes.errors import OpenEOError
from processes.graph.package import BoundingBox, TemporalInterval
from processes.graph.schema import subtypes


def convert(schema: Any, value: Any, parameter: str, process: str) -> Any:
    """Return `value` as a BoundingBox or TemporalInterval if the schema has that subtype.

    Other values stay as they are: strings stay strings, GeoJSON stays an object, and arrays of intervals stay text:
    they become labels as they were written, and may hold clock times, which the data model does not take.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid, or TemporalExtentEmpty for an interval whose end lies before its start.
    """
    kinds = subtypes(schema)
    if "bounding-box" in kinds and isinstance(value, dict) and "type" not in value:
        return _bounding_box(value, parameter, process)
    if "temporal-interval" in kinds and isinstance(value, list):
        return _interval(value, parameter, process)
    return value


def parameter_invalid(process: str, parameter: str, reason: str) -> OpenEOError:
    """Return the error of a value that a process cannot take; `reason` is one or two sentences."""
    message = f"The value passed for parameter '{parameter}' in process '{process}' is invalid: {reason}"
    return OpenEOError("ProcessParameterInvalid", message)


def _bounding_box(value: dict[str, Any], parameter: str, process: str) -> BoundingBox:
    crs = value.get("crs")
    if crs is not None and (isinstance(crs, bool) or not isinstance(crs, int | str)):
        raise _unknown_crs(crs, parameter, process)
    try:
        box = BoundingBox.model_validate(value)
    except ValidationError as error:
        wrong = [(one["loc"][0], one["input"]) for one in error.errors() if one["loc"]]
        given = ", ".join(f"{name} ({str(one)[:50]!r})" for name, one in wrong)
        reason = f"{given or 'it'} cannot be read; a bounding box needs the numbers west, south, east and north."
        raise parameter_invalid(process, parameter, reason) from error
    except CRSError as error:
        raise _unknown_crs(crs, parameter, process) from error
    for low, high in (("west", "east"), ("south", "north")):
        least, most = getattr(box, low), getattr(box, high)
        if least > most:
            reason = f"{low} is greater than {high} ({least:.10g} > {most:.10g}); swap or correct them."
            raise parameter_invalid(process, parameter, reason)
    return box


def _unknown_crs(crs: Any, parameter: str, process: str) -> OpenEOError:
    reason = f"the crs {str(crs)[:100]!r} is not known; give an EPSG code such as 32631, or WKT2."
    return parameter_invalid(process, parameter, reason)


def _interval(value: Any, parameter: str, process: str) -> TemporalInterval:
    try:
        return TemporalInterval.model_validate(value)
    except ValidationError as error:
        if isinstance(value, list) and len(value) == 2 and all(_is_instant(end) for end in value):
            raise OpenEOError(
                "TemporalExtentEmpty",
                f"The interval [{value[0]}, {value[1]}] of parameter '{parameter}' in process '{process}' is empty: "
                "its end must be later than its start.",
            ) from error
        reason = (
            f"{json.dumps(value, default=str)[:100]} is no temporal interval; give an array of start and end, each a "
            "date such as 2024-06-30, a date-time such as 2024-06-30T12:00:00Z, or null, but not null for both."
        )
        raise parameter_invalid(process, parameter, reason) from error


def _is_instant(value: Any) -> bool:
    try:
        TemporalInterval.model_validate([value, None])
    except ValidationError:
        return False
    return not _is_clock_time(value)


def _is_clock_time(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 9 and value[2:3] == ":"
