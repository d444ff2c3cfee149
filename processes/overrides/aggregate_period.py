"""`aggregate_temporal_period`: the hours, days, ... decades of the calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from processes.errors import invalid
from processes.overrides._dims import Callback, dates_of, require_cube, temporal_dimension
from processes.overrides._groups import aggregate_groups


def aggregate_temporal_period(
    data: xr.DataArray,
    period: str,
    reducer: Callback,
    dimension: str | None = None,
    context: Any = None,
) -> xr.DataArray:
    """Aggregate over the hours, days, ... decades of the calendar.

    "The dimension labels in the new data cube are complete for the whole extent of the source data cube": periods
    without data in between are no-data. Labels are text as the specification prescribes; weeks carry the ISO year,
    seasons that begin in November or December the year in which they begin. `OpenEOError` TooManyDimensions,
    DimensionNotAvailable.
    """
    cube = require_cube(data, "aggregate_temporal_period")
    if period not in PERIODS:
        raise invalid("period", "aggregate_temporal_period", f"'{period}' is none of {', '.join(PERIODS)}")
    t = temporal_dimension(cube, dimension, "aggregate_temporal_period")
    number, label = PERIODS[period]
    numbers = number(dates_of(cube, t))
    if not len(numbers):
        return cube
    wanted = range(int(numbers.min()), int(numbers.max()) + 1)
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], [*wanted, wanted[-1] + 1])
    groups = [np.sort(order[a:b]) for a, b in pairwise(bounds)]
    return aggregate_groups(cube, t, groups, np.asarray([label(n) for n in wanted]), reducer, context)


def _units(dates: np.ndarray, unit: str) -> np.ndarray:
    """Return how many units since 1970 the dates are."""
    return np.asarray(dates.astype(f"datetime64[{unit}]").astype(int))


def _dekads(dates: np.ndarray) -> np.ndarray:
    day = _units(dates, "D") - dates.astype("datetime64[M]").astype("datetime64[D]").astype(int)
    return np.asarray(_units(dates, "M") * 3 + np.minimum(day // 10, 2))


def _day(n: int) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + n)


def _season(n: int) -> str:
    # n counts quarters from December 1969.
    return f"{1970 + (n * 3 - 1) // 12:04d}-{('djf', 'mam', 'jja', 'son')[n % 4]}"


def _tropical_season(n: int) -> str:
    # n counts half years from November 1969.
    return f"{1970 + (n * 6 - 2) // 12:04d}-{('ndjfma', 'mjjaso')[n % 2]}"


# Period -> (number of the period that holds each date, label of a number).
PERIODS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], Callable[[int], str]]] = {
    "hour": (lambda d: _units(d, "h"), lambda n: f"{_day(n // 24):%Y-%m-%d}-{n % 24:02d}"),
    "day": (lambda d: _units(d, "D"), lambda n: f"{_day(n):%Y-%j}"),
    # 1970-01-01 was a Thursday, the day that decides to which year a week belongs.
    "week": (lambda d: (_units(d, "D") + 3) // 7, lambda n: f"{_day(n * 7):%G-%V}"),
    "dekad": (_dekads, lambda n: f"{1970 + n // 36:04d}-{n % 36 + 1:02d}"),
    "month": (lambda d: _units(d, "M"), lambda n: f"{1970 + n // 12:04d}-{n % 12 + 1:02d}"),
    "season": (lambda d: (_units(d, "M") + 1) // 3, _season),
    "tropical-season": (lambda d: (_units(d, "M") + 2) // 6, _tropical_season),
    "year": (lambda d: _units(d, "Y") + 1970, lambda n: f"{n:04d}"),
    "decade": (lambda d: (_units(d, "Y") + 1970) // 10, lambda n: f"{n * 10:04d}"),
    "decade-ad": (lambda d: (_units(d, "Y") + 1969) // 10, lambda n: f"{n * 10 + 1:04d}"),
}
