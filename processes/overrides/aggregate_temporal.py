"""`aggregate_temporal`: over intervals, which may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import Callback, dates_of, require_cube, temporal_dimension
from processes.overrides._groups import aggregate_groups


def aggregate_temporal(
    data: xr.DataArray,
    intervals: Sequence[Sequence[Any]],
    reducer: Callback,
    labels: Sequence[Any] | None = None,
    dimension: str | None = None,
    context: Any = None,
) -> xr.DataArray:
    """Aggregate over left-closed intervals, "which are allowed to overlap".

    "If no labels are specified, the start of the temporal interval will be used as label." Times without a date
    select a time of day, over midnight where the second is the earlier. Intervals without data give no-data.

    Raises
    ------
    OpenEOError
        TooManyDimensions, DimensionNotAvailable, DistinctDimensionLabelsRequired, TemporalExtentEmpty.
    """
    cube = require_cube(data, "aggregate_temporal")
    t = temporal_dimension(cube, dimension, "aggregate_temporal")
    dates = dates_of(cube, t)
    groups = [np.flatnonzero(_inside(dates, interval)) for interval in intervals]
    names = _interval_labels(intervals, labels)
    return aggregate_groups(cube, t, groups, names, reducer, context)


def _interval_labels(intervals: Sequence[Sequence[Any]], labels: Sequence[Any] | None) -> np.ndarray:
    """Return the given labels, by default the starts as they were written."""
    names = list(labels) if labels else ["" if i[0] is None else _text(i[0]) for i in intervals]
    if len(names) != len(intervals):
        raise invalid("labels", "aggregate_temporal", f"there are {len(names)} labels for {len(intervals)} intervals")
    if len(set(names)) != len(names):
        raise OpenEOError(
            "DistinctDimensionLabelsRequired",
            f"The labels {', '.join(map(str, names))} have duplicates. Give distinct ones in parameter 'labels'.",
        )
    numbers = all(isinstance(n, int | float) for n in names)
    return np.asarray(names if numbers else [str(n) for n in names])


def _text(value: Any) -> str:
    return str(getattr(value, "root", value))


def _inside(dates: np.ndarray, interval: Sequence[Any]) -> np.ndarray:
    """Tell which dates lie in [start, end)."""
    if len(interval) != 2:
        raise invalid("intervals", "aggregate_temporal", f"{list(interval)} must have a start and an end")
    start, end = (None if bound is None else _text(bound) for bound in interval)
    clock = {":" in b and "T" not in b and "-" not in b for b in (start, end) if b is not None}
    if len(clock) > 1:
        raise invalid("intervals", "aggregate_temporal", f"{list(interval)} mixes a date and a time without date")
    parse = _time_of_day if clock == {True} else _instant
    first, last = (None if bound is None else parse(bound) for bound in (start, end))
    values = dates - dates.astype("datetime64[D]") if clock == {True} else dates
    after = np.ones(len(dates), bool) if first is None else values >= first
    before = np.ones(len(dates), bool) if last is None else values < last
    if first is not None and last is not None and first >= last:
        if clock == {True} and first > last:
            return np.asarray(after | before)
        raise OpenEOError(
            "TemporalExtentEmpty",
            f"The interval {list(interval)} in parameter 'intervals' is empty. Its end must be later than its start.",
        )
    return np.asarray(after & before)


def _instant(text: str) -> np.datetime64:
    """Return a date or date-time (any time zone, by default UTC) in UTC."""
    try:
        stamp = pd.Timestamp(text)
    except ValueError:
        raise invalid("intervals", "aggregate_temporal", f"'{text}' is no date; write YYYY-MM-DDThh:mm:ssZ") from None
    stamp = stamp.tz_convert("UTC").tz_localize(None) if stamp.tzinfo else stamp
    return np.datetime64(stamp.to_datetime64(), "ns")


def _time_of_day(text: str) -> np.timedelta64:
    """Return a time "HH:MM[:SS][Z]" as the time since midnight; "24:00:00" is the end of the day."""
    try:
        hours, minutes, seconds = (*map(int, text.rstrip("Z").split(":")), 0, 0)[:3]
    except ValueError:
        hours, minutes, seconds = 99, 0, 0
    total = hours * 3600 + minutes * 60 + seconds
    if total > 86400 or not (0 <= minutes < 60 and 0 <= seconds < 60):
        raise invalid("intervals", "aggregate_temporal", f"'{text}' is no time of day; write hh:mm:ss")
    return np.timedelta64(total * 10**9, "ns")
