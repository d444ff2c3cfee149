"""Spatial and temporal extents: parsed once at the edge, typed and frozen behind it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyproj
from pyproj.exceptions import CRSError

from processes import errors
from processes.errors import OpenEOError

Interval = tuple[np.datetime64 | None, np.datetime64 | None]

_CRS_FORMS = re.compile(r"\d+|[A-Za-z]+:\S+|[A-Z]+[A-Z0-9_]*\s*\[.*", re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_DATE_TIME = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(:\d{2}(\.\d+)?)?)\s*([Zz]|[+-]\d{2}:?\d{2})?")
# Well inside of what datetime64[ns] can hold: requests such as "until 9999-12-31" are cut to it, and a halo's days
# still fit.
_FIRST, _LAST = np.datetime64("1700-01-01", "us"), np.datetime64("2200-01-01", "us")
_MOST_DEGREES = 720.0
_SIDES = ("west", "south", "east", "north")


@dataclass(frozen=True)
class Bbox:
    """A rectangle in `crs` (an authority code such as EPSG:32631, or WKT), edges included."""

    west: float
    south: float
    east: float
    north: float
    crs: str = "EPSG:4326"

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Return (west, south, east, north)."""
        return (self.west, self.south, self.east, self.north)


def invalid(parameter: str, reason: str, process: str = "load_collection") -> OpenEOError:
    """Return the error for a parameter value that cannot be used."""
    return errors.invalid(parameter, process, reason)


def plain(value: Any) -> Any:
    """Return `value` as JSON-like data where it is one of the graph parser's (pydantic) objects."""
    return value.model_dump() if hasattr(value, "model_dump") else value


def parse_crs(value: Any, parameter: str = "spatial_extent", process: str = "load_collection") -> pyproj.CRS:
    """Return the CRS that an EPSG code (number or text), an authority code or a WKT string names.

    PROJ strings are not accepted: they are no openEO CRS, and they can name files.
    """
    text = str(value).strip()
    if isinstance(value, bool) or not isinstance(value, int | str) or not _CRS_FORMS.fullmatch(text):
        raise _bad_crs(value, parameter, process)
    try:
        return pyproj.CRS.from_user_input(int(text) if text.isdigit() else text)
    except CRSError as error:
        raise _bad_crs(value, parameter, process) from error


def parse_bbox(value: Any, parameter: str = "spatial_extent", process: str = "load_collection") -> Bbox:
    """Return the bounding box that an object with west, south, east, north and perhaps crs describes.

    `base` and `height` limit a vertical axis, which no cube here has; they do not limit anything.
    """
    box = plain(value)
    west, south, east, north = (_edge(box, side, parameter, process) for side in _SIDES)
    for low, high, names in ((west, east, "west and east"), (south, north, "south and north")):
        if low >= high:
            first, second = names.split(" and ")
            reason = f"{first} ({low:.10g}) must be less than {second} ({high:.10g}); swap or widen {names}."
            raise invalid(parameter, reason, process)
    given = box.get("crs")
    crs = parse_crs(4326 if given is None else given, parameter, process)
    if crs.is_geographic and max(abs(west), abs(east)) > _MOST_DEGREES:
        reason = f"west ({west:.10g}) and east ({east:.10g}) are no degrees; give the box the crs of its coordinates"
        raise invalid(parameter, f"{reason}, such as 32631. Without one it is in EPSG:4326.", process)
    return Bbox(west, south, east, north, crs_text(crs))


def parse_interval(value: Any, parameter: str = "temporal_extent", process: str = "load_collection") -> Interval | None:
    """Return the half-open interval of two dates or date-times; None for null.

    Dates are UTC midnights; a time without zone is UTC. `OpenEOError` TemporalExtentEmpty when the end does not
    lie after the start.
    """
    ends = plain(value)
    if ends is None:
        return None
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        raise invalid(parameter, f"{ends!r} is not an array of two elements, start and end.", process)
    start, end = (None if e is None else parse_instant(e, parameter, process) for e in ends)
    if start is None and end is None:
        raise invalid(parameter, "start and end are both null; pass null instead of the array.", process)
    if start is not None and end is not None and end <= start:
        raise OpenEOError(
            "TemporalExtentEmpty",
            f"The temporal extent {interval_text(ends)} of parameter '{parameter}' is empty. "
            "The second instant must be later than the first; it is excluded from the interval.",
        )
    return (start, end)


def parse_instant(value: Any, parameter: str, process: str = "load_collection") -> np.datetime64:
    """Return a date (UTC midnight), a date-time or a datetime object as datetime64[ns] in UTC."""
    value = plain(value)
    if isinstance(value, np.datetime64):
        return _in_range(value)
    if isinstance(value, str):
        value = _from_text(value, parameter, process)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime):
        raise invalid(parameter, f"{value!r} is neither a date nor a date-time.", process)
    offset = value.utcoffset() or timedelta(0)
    # Subtracted in numpy: Python's own datetimes end within the years 1 and 9999.
    return _in_range(np.datetime64(value.replace(tzinfo=None), "us") - np.timedelta64(offset))


def transformed_bounds(
    bounds: tuple[float, float, float, float], source: str, target: str
) -> tuple[float, float, float, float]:
    """Return the bounds in `target` of a rectangle in `source`, its edges followed at 100 points each."""
    if pyproj.CRS(source).equals(pyproj.CRS(target), ignore_axis_order=True):
        return bounds
    transformer = pyproj.Transformer.from_crs(source, target, always_xy=True)
    west, south, east, north = transformer.transform_bounds(*bounds, densify_pts=100)
    return (west, south, east, north)


def interval_text(extent: Any) -> str:
    """Return the two ends of an interval as users write them."""
    ends = plain(extent)
    if not isinstance(ends, list | tuple):
        return str(ends)
    texts = ["null" if end is None else str(plain(end)).replace(" ", "T") for end in ends]
    return "[" + ", ".join(text.removesuffix("+00:00").removesuffix("T00:00:00") for text in texts) + "]"


def crs_text(crs: pyproj.CRS) -> str:
    """Return the shortest text that names `crs`: EPSG:code where there is one, else WKT."""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code is not None else str(crs.to_wkt())


def _edge(box: Any, side: str, parameter: str, process: str) -> float:
    if not isinstance(box, Mapping) or side not in box:
        raise invalid(parameter, f"it must be an object with west, south, east and north; no {side}.", process)
    number = box[side]
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise invalid(parameter, f"{side} is {number!r}; it must be a finite number.", process)
    return float(number)


def _bad_crs(value: Any, parameter: str, process: str) -> OpenEOError:
    reason = f"crs {str(value)[:100]!r} is not known; give an EPSG code such as 4326 or 32631, or WKT2."
    return invalid(parameter, reason, process)


def _from_text(text: str, parameter: str, process: str) -> datetime:
    form = _DATE.fullmatch(text) or _DATE_TIME.fullmatch(text)
    try:
        if form is not None:
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass
    reason = f"{text!r} is neither a date (2024-06-30) nor a date-time (2024-06-30T12:00:00Z)."
    raise invalid(parameter, reason, process)


def _in_range(instant: np.datetime64) -> np.datetime64:
    coarse = instant.astype("datetime64[us]")
    if not _FIRST <= coarse <= _LAST:
        instant = min(max(coarse, _FIRST), _LAST)
    fine: np.datetime64 = instant.astype("datetime64[ns]")
    return fine
