"""Dates as text: compared, subtracted and shifted. Null stays null."""

from __future__ import annotations

import calendar
import re
from datetime import datetime, timedelta

import numpy as np

from processes.errors import invalid
from processes.sources import parse_instant

_MILLISECONDS = {
    "millisecond": 1,
    "second": 1000,
    "minute": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "week": 7 * 86_400_000,
}
_MONTHS = {"month": 1, "year": 12}
_CLOCK = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}))?(?:[Zz])?")
_LEAP = re.compile(r"(:\d{2}):60(?=$|[.Zz+-])")
_TEXT = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)([Zz]|[+-]\d{2}:?\d{2})?)?")


def date_between(x: str | None, min: str, max: str, exclude_max: bool = False) -> bool | None:
    """Return whether `min` <= `x` <= `max`, or < `max` with `exclude_max`; times of day compare with each other."""
    if x is None:
        return None
    _refuse_mixed({"x": x, "min": min, "max": max})
    value, low, high = (_instant(text, name) for text, name in ((x, "x"), (min, "min"), (max, "max")))
    return bool(low <= value < high) if exclude_max else bool(low <= value <= high)


def date_difference(date1: str, date2: str, unit: str = "second") -> float:
    """Return `date2` minus `date1` in the unit; months and years are counted by the calendar, parts as fractions."""
    first, second = (
        parse_instant(_LEAP.sub(r"\1:59", date), name, "date_difference")
        for date, name in ((date1, "date1"), (date2, "date2"))
    )
    if unit in _MONTHS:
        return _months(first, second) / _MONTHS[unit]
    return float((second - first) / np.timedelta64(1_000_000, "ns")) / _MILLISECONDS[unit]


def date_shift(date: str, value: int, unit: str) -> str:
    """Return the date some units later, in the form in which it was given.

    Days that a month does not have are rounded down to its last; dates without a time stay so.
    """
    form = _TEXT.fullmatch(date)
    if form is None:
        reason = f"{date!r} is neither a date (2024-06-30) nor a date-time (2024-06-30T12:00:00Z)."
        raise invalid("date", "date_shift", reason)
    day, time, zone = form.groups()
    start = _read(day, time)
    try:
        shifted = _shifted(start, int(value), unit)
    except (OverflowError, ValueError) as error:
        reason = f"{date} moved by {value} {unit}s lies outside of the years 1 to 9999."
        raise invalid("value", "date_shift", reason) from error
    if time is None:
        return shifted.date().isoformat()
    return shifted.isoformat(timespec="milliseconds" if shifted.microsecond else "seconds") + (zone or "")


def _read(day: str, time: str | None) -> datetime:
    """Return a date and time, a leap second as the one before it: "can be passed to the process", never returned."""
    text = f"{day}T{time or '00:00'}"
    try:
        return datetime.fromisoformat(_LEAP.sub(r"\1:59", text))
    except ValueError as error:
        raise invalid("date", "date_shift", f"{text} is no date of the calendar ({error})") from error


def _shifted(date: datetime, value: int, unit: str) -> datetime:
    if unit not in _MONTHS:
        return date + timedelta(milliseconds=value * _MILLISECONDS[unit])
    months = date.year * 12 + date.month - 1 + value * _MONTHS[unit]
    year, month = months // 12, months % 12 + 1
    return date.replace(year=year, month=month, day=min(date.day, calendar.monthrange(year, month)[1]))


def _months(first: np.datetime64, second: np.datetime64) -> float:
    """Return the months between two instants: whole ones by the calendar, the rest as a part of its month."""
    ours, theirs = (datetime.fromisoformat(str(date.astype("datetime64[ms]"))) for date in (first, second))
    whole = (theirs.year - ours.year) * 12 + theirs.month - ours.month
    if _shifted(ours, whole, "month") > theirs:
        whole -= 1
    start, end = _shifted(ours, whole, "month"), _shifted(ours, whole + 1, "month")
    return whole + (theirs - start) / (end - start)


def _refuse_mixed(texts: dict[str, str]) -> None:
    """Refuse times of day beside dates, with which they cannot be compared."""
    clocks = [name for name, text in texts.items() if _CLOCK.fullmatch(text)]
    if clocks and len(clocks) < len(texts):
        odd = next(name for name in texts if (name in clocks) != ("x" in clocks))
        reason = f"{texts[odd]!r} cannot be compared with {texts['x']!r}; give dates everywhere, or times everywhere."
        raise invalid(odd, "date_between", reason)


def _instant(text: str, parameter: str) -> np.datetime64 | np.timedelta64:
    clock = _CLOCK.fullmatch(text)
    if clock is None:
        return parse_instant(_LEAP.sub(r"\1:59", text), parameter, "date_between")
    hours, minutes, seconds = (int(part or 0) for part in clock.groups())
    # On one and the same day: times of day are compared with each other only.
    return np.datetime64("2000-01-01", "ns") + np.timedelta64(hours * 3600 + minutes * 60 + seconds, "s")
