"""Climatological normals, and how far values lie from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from processes.errors import OpenEOError, invalid
from processes.overrides._dims import dates_of, labels_of, rebuild, require_cube, temporal_dimension
from processes.overrides._groups import aggregate_groups
from processes.overrides.aggregate_period import PERIODS
from processes.overrides.elementwise import floats
from processes.overrides.statistics import mean

_SINGLE = ("climatology-period", "single-period")
# Seasons by their months; the first of each kind begins in the year before.
_SEASONS: dict[str, dict[str, tuple[int, ...]]] = {
    "season": {"djf": (12, 1, 2), "mam": (3, 4, 5), "jja": (6, 7, 8), "son": (9, 10, 11)},
    "tropical-season": {"ndjfma": (11, 12, 1, 2, 3, 4), "mjjaso": (5, 6, 7, 8, 9, 10)},
}


def climatological_normal(
    data: xr.DataArray, period: str, climatology_period: Sequence[int] = (1981, 2010)
) -> xr.DataArray:
    """Average all values of each day, month or season of the years of the climatology period.

    "The incomplete season at the end of the last year is never taken into account", nor is the first if it is
    incomplete. Days are the 365 that every year has. What has no values is no data.

    Parameters
    ----------
    data : xr.DataArray
        A cube with one temporal dimension, whose dates reach from the first to the last of these years.
    period : str
        day, month, season, tropical-season or climatology-period.
    climatology_period : two int
        The first and the last year.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid, DimensionNotAvailable.
    """
    cube = require_cube(data, "climatological_normal")
    t = _only_time(cube, "data", "climatological_normal")
    dates = dates_of(cube, t)
    first, last = _years(dates, climatology_period)
    groups = _groups(dates, period, first, last)
    return aggregate_groups(cube, t, list(groups.values()), np.asarray(list(groups)), _mean, None)


def anomaly(data: xr.DataArray, normals: xr.DataArray, period: str) -> xr.DataArray:
    """Subtract from the values of each label the normal of the period that it lies in.

    Parameters
    ----------
    data : xr.DataArray
        A cube with one temporal dimension, labelled as by ``aggregate_temporal_period``, or with dates.
    normals : xr.DataArray
        A cube with the same other dimensions, labelled as by ``climatological_normal``. A 366th day, which has no
        normal there, becomes no data.
    period : str
        That of the normals.

    Raises
    ------
    OpenEOError
        ProcessParameterInvalid, DimensionNotAvailable.
    """
    cube, norms = require_cube(data, "anomaly"), require_cube(normals, "anomaly", "normals")
    t = _only_time(cube, "data", "anomaly")
    theirs = t if t in norms.dims else _only_time(norms, "normals", "anomaly")
    norms = _same_labels(norms.rename({theirs: t}) if theirs != t else norms, cube, t)
    positions = _positions(cube, norms, t, period)
    chosen = norms.variable.isel({t: np.maximum(positions, 0)}).transpose(*cube.dims)
    values = floats(cube.data) - floats(chosen.data)
    if (positions < 0).any():
        there = np.expand_dims(positions >= 0, [i for i, d in enumerate(cube.dims) if d != t])
        values = np.where(there, values, values.dtype.type(np.nan))
    return rebuild(cube, values, map(str, cube.dims))


def _only_time(cube: xr.DataArray, parameter: str, process: str) -> str:
    try:
        return temporal_dimension(cube, None, process)
    except OpenEOError as error:
        if error.code != "TooManyDimensions":
            raise
        reason = "the cube has several temporal dimensions, and must have exactly one; drop or reduce the others"
        raise invalid(parameter, process, reason) from error


def _years(dates: NDArray[np.datetime64], years: Sequence[int]) -> tuple[int, int]:
    """Return the first and last year, all of which must lie within the dates."""
    if len(years) != 2 or years[0] > years[1]:
        reason = f"{list(years)} is not the first and the last year of a period"
        raise invalid("climatology_period", "climatological_normal", reason)
    there = dates.astype("datetime64[Y]").astype(int) + 1970
    first, last = int(years[0]), int(years[1])
    if not len(there) or there.min() > first or there.max() < last:
        span = f"dates from {there.min()} to {there.max()}" if len(there) else "no dates"
        reason = f"the cube has {span} and does not span {first} to {last}; load more, or name another period"
        raise invalid("climatology_period", "climatological_normal", reason)
    return first, last


def _groups(dates: NDArray[np.datetime64], period: str, first: int, last: int) -> dict[str, NDArray[np.intp]]:
    """Return where the dates of each normal are, by its label."""
    month_number = dates.astype("datetime64[M]").astype(int)
    year, month = month_number // 12 + 1970, month_number % 12 + 1
    inside = (year >= first) & (year <= last)
    if period == "climatology-period":
        return {period: np.flatnonzero(inside)}
    if period == "day":
        day = (dates.astype("datetime64[D]") - dates.astype("datetime64[Y]")).astype(int) + 1
        return {f"{n:03d}": np.flatnonzero(inside & (day == n)) for n in range(1, 366)}
    if period == "month":
        return {f"{n:02d}": np.flatnonzero(inside & (month == n)) for n in range(1, 13)}
    if period not in _SEASONS:
        raise invalid("period", "climatological_normal", f"'{period}' is none of day, month, {', '.join(_SEASONS)}")
    return {name: _season(year, month, months, first, last) for name, months in _SEASONS[period].items()}


def _season(
    year: NDArray[np.int_], month: NDArray[np.int_], months: tuple[int, ...], first: int, last: int
) -> NDArray[np.intp]:
    """Return where the dates of a season are; months before January belong to the next year's."""
    before = [m for m in months if m > months[-1]]
    belongs = year + np.isin(month, before)
    lacking = [m for m in before if not ((year == first - 1) & (month == m)).any()]
    start = first + 1 if lacking else first
    return np.flatnonzero(np.isin(month, months) & (belongs >= start) & (belongs <= last))


def _mean(values: Any, *, axis: int, **_: Any) -> Any:
    return mean(values, axis=axis)


def _same_labels(norms: xr.DataArray, cube: xr.DataArray, t: str) -> xr.DataArray:
    """Return the normals if all dimensions but the temporal one are those of the data."""
    if set(norms.dims) != set(cube.dims):
        there, ours = (", ".join(map(str, one.dims)) for one in (norms, cube))
        raise invalid("normals", "anomaly", f"its dimensions are {there}, but those of the data are {ours}")
    for dim in map(str, cube.dims):
        if dim != t and not np.array_equal(labels_of(norms, dim), labels_of(cube, dim)):
            reason = f"the labels of '{dim}' are not those of the data; filter or resample both alike first"
            raise invalid("normals", "anomaly", reason)
    return norms


def _positions(cube: xr.DataArray, norms: xr.DataArray, t: str, period: str) -> NDArray[np.intp]:
    """Return which normal each label of the data has, -1 for a 366th day without one."""
    names = [str(label) for label in labels_of(norms, t).tolist()]
    if period in _SINGLE:
        if len(names) != 1:
            raise invalid("normals", "anomaly", f"a '{period}' has one label, but '{t}' has {len(names)}")
        return np.zeros(cube.sizes[t], np.intp)
    if period not in PERIODS:
        raise invalid("period", "anomaly", f"'{period}' is none of {', '.join([*PERIODS, *_SINGLE])}")
    place = {name: i for i, name in enumerate(names)}
    keys = [_key(label, period) for label in _period_labels(cube, t, period)]
    lacking = {key for key in keys if key not in place} - ({"366"} if period == "day" else set())
    if lacking:
        reason = (
            f"it has no label {', '.join(sorted(lacking)[:10])} along '{t}', but {', '.join(names[:10])}; "
            f"pass data and normals for the period '{period}'"
        )
        raise invalid("normals", "anomaly", reason)
    return np.array([place.get(key, -1) for key in keys], np.intp)


def _period_labels(cube: xr.DataArray, t: str, period: str) -> list[str]:
    """Return the labels of the data; dates as those of the periods that they lie in."""
    labels = labels_of(cube, t)
    if labels.dtype.kind != "M":
        return [str(label) for label in labels.tolist()]
    number, label = PERIODS[period]
    return [label(n) for n in number(dates_of(cube, t)).tolist()]


def _key(label: str, period: str) -> str:
    """Return the part of a label that normals are labelled with."""
    if period in ("year", "decade", "decade-ad"):
        return label
    return label.rpartition("-")[2]
