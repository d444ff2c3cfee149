"""Aggregations over intervals, calendar periods and geometries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import groupby, pairwise
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio.features
import shapely
import xarray as xr
import xvec  # noqa: F401  (registers the accessor)
from affine import Affine

from processes.errors import OpenEOError
from processes.overrides._dims import (
    Callback,
    da,
    dates_of,
    invalid,
    rebuild,
    reduce_axis,
    require_cube,
    spatial_dimensions,
    temporal_dimension,
)


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
    t = temporal_dimension(cube, dimension)
    dates = dates_of(cube, t)
    groups = [np.flatnonzero(_inside(dates, interval)) for interval in intervals]
    names = _interval_labels(intervals, labels)
    return _aggregate(cube, t, groups, names, reducer, context)


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
    t = temporal_dimension(cube, dimension)
    number, label = PERIODS[period]
    numbers = number(dates_of(cube, t))
    if not len(numbers):
        return cube
    wanted = range(int(numbers.min()), int(numbers.max()) + 1)
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], [*wanted, wanted[-1] + 1])
    groups = [np.sort(order[a:b]) for a, b in pairwise(bounds)]
    return _aggregate(cube, t, groups, np.asarray([label(n) for n in wanted]), reducer, context)


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


def _aggregate(
    cube: xr.DataArray, t: str, groups: list[np.ndarray], names: np.ndarray, reducer: Callback, context: Any
) -> xr.DataArray:
    """Reduce each group of labels of `t`; the results stand in its place, labelled `names`."""
    axis, labels = cube.get_axis_num(t), np.asarray(cube[t].values)
    parts = []
    for empty, run in groupby(groups, key=lambda group: not len(group)):
        if empty:
            parts.append(_no_data(cube, axis, len(list(run)), reducer, context))
            continue
        for group in run:
            chosen = _take(cube.data, group, axis)
            parts.append(np.expand_dims(reduce_axis(chosen, reducer, axis, labels[group], context), axis))
    join = da.concatenate if isinstance(cube.data, da.Array) else np.concatenate
    return rebuild(cube, join(parts, axis=axis), map(str, cube.dims), {t: names})


def _take(values: Any, group: np.ndarray, axis: int) -> Any:
    """Return the elements at ascending positions; a slice where they are neighbours, which spares Dask a shuffle."""
    run = group[-1] - group[0] + 1 == len(group)
    chosen = slice(int(group[0]), int(group[-1]) + 1) if run else group
    return values[(slice(None),) * axis + (chosen,)]


def _no_data(cube: xr.DataArray, axis: int, count: int, reducer: Callback, context: Any) -> Any:
    """Return what the reducer makes of no data, `count` times along `axis`.

    It gets one no-data value, since many reducers cannot take an axis of length 0: null for mean, 0 for count.
    """
    template = _take(cube.data, np.array([0]), axis)
    dtype = cube.dtype if cube.dtype.kind in "fc" else np.result_type(cube.dtype, np.float32)
    full = da.full if isinstance(template, da.Array) else np.full
    chunks = {"chunks": template.chunks} if isinstance(template, da.Array) else {}
    label = np.array(["NaT"], "datetime64[ns]")
    result = reduce_axis(full(template.shape, np.nan, dtype=dtype, **chunks), reducer, axis, label, context)
    return np.repeat(np.expand_dims(result, axis), count, axis)


def aggregate_spatial(
    data: xr.DataArray,
    geometries: Any,
    reducer: Callback,
    target_dimension: str | None = None,
    context: Any = None,
) -> xr.DataArray:
    """Aggregate the pixels of each geometry into a vector cube with the dimension `geometry`.

    "For polygons, the process considers all pixels for which the point at the pixel center intersects with the
    corresponding polygon. For points, the process considers the closest pixel center. For lines, all the pixels whose
    centers are closest to at least one point on the line." Geometries keep their reference system, features their
    properties (as coordinates). "Empty geometries still exist but without any aggregated values", as those outside.

    Raises
    ------
    OpenEOError
        TargetDimensionExists, DimensionNotAvailable, ProcessParameterInvalid.
    """
    cube = require_cube(data, "aggregate_spatial")
    y, x = spatial_dimensions(cube)
    if target_dimension is not None and target_dimension in (*cube.dims, "geometry"):
        raise OpenEOError(
            "TargetDimensionExists",
            f"A dimension named '{target_dimension}' exists already. Give another name in 'target_dimension'.",
        )
    frame = geometry_frame(geometries)
    ordered = cube.transpose(..., y, x)
    zones = _Zones(ordered, _projected(frame, cube))
    values, count = zones.reduce(reducer, context, with_counts=target_dimension is not None), len(frame)
    dims = [str(d) for d in ordered.dims[:-2]]
    plain = ordered.drop_vars("spatial_ref", errors="ignore")
    plain.encoding.pop("grid_mapping", None)
    labels: dict[str, Any] = {"geometry": np.empty(count, object)}
    labels["geometry"][:] = frame.geometry.values
    order = ["geometry", *dims]
    if target_dimension is not None:
        order, labels[target_dimension] = [*order, target_dimension], ["value", "total_count", "valid_count"]
    result = rebuild(plain, values, order, labels)
    result = result.assign_coords(_properties(frame, set(result.coords) | set(result.dims)))
    return result.xvec.set_geom_indexes("geometry", crs=frame.crs)  # type: ignore[no-any-return]


def geometry_frame(geometries: Any) -> Any:
    """Return GeoJSON, a GeoDataFrame or a vector cube as a GeoDataFrame; GeoJSON is EPSG:4326 unless it names a crs."""
    if isinstance(geometries, gpd.GeoDataFrame):
        return geometries
    if isinstance(geometries, xr.Dataset | xr.DataArray):
        name = next((d for d in geometries.dims if d in geometries.xvec.geom_coords), None)
        if name is None:
            raise invalid("geometries", "aggregate_spatial", "the vector cube has no dimension of geometries")
        return gpd.GeoDataFrame(geometry=geometries[name].values, crs=geometries[name].attrs.get("crs"))
    if not isinstance(geometries, dict) or "type" not in geometries:
        raise invalid("geometries", "aggregate_spatial", "it must be a GeoJSON object or a vector cube")
    kind = geometries["type"]
    features = geometries["features"] if kind == "FeatureCollection" else [geometries]
    shapes, properties = [], []
    for feature in features:
        bare = feature["geometry"] if feature["type"] == "Feature" else feature
        shapes.append(shapely.geometry.shape(bare) if bare else shapely.GeometryCollection())
        properties.append((feature.get("properties") or {}) if feature["type"] == "Feature" else {})
    crs = (geometries.get("crs") or {}).get("properties", {}).get("name", "EPSG:4326")
    return gpd.GeoDataFrame(properties or None, geometry=shapes, crs=crs, index=range(len(shapes)))


def _projected(frame: Any, cube: xr.DataArray) -> list[Any]:
    """Return the geometries in the cube's reference system."""
    if cube.odc.crs is None:
        raise invalid("data", "aggregate_spatial", "the cube has no reference system to place geometries in")
    return list(frame.geometry if frame.crs is None else frame.geometry.to_crs(str(cube.odc.crs)))


def _properties(frame: Any, taken: set[Any]) -> dict[str, Any]:
    """Return the features' properties as coordinates: numbers as such, everything else as text."""
    columns = {str(c): frame[c] for c in frame.columns if c != frame.geometry.name and str(c) not in taken}
    return {
        name: ("geometry", column.to_numpy() if column.dtype.kind in "iufb" else column.map(_as_text).to_numpy(str))
        for name, column in columns.items()
    }


def _as_text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


class _Zones:
    """The pixels of a cube (..., y, x) that geometries in its reference system cover."""

    def __init__(self, cube: xr.DataArray, shapes: list[Any]) -> None:
        self.values = cube.data
        self.y, self.x = (np.asarray(cube[d].values, float) for d in cube.dims[-2:])
        self.pixels = [self._pixels_of(shape) for shape in shapes]

    def reduce(self, reducer: Callback, context: Any, with_counts: bool) -> Any:
        """Return (geometry, ...) or, with counts, (geometry, ..., 3): value, all pixels, valid pixels."""
        lazy = isinstance(self.values, da.Array)
        join = da.stack if lazy else np.stack
        chosen = np.unique(np.concatenate([*self.pixels, np.empty(0, int)]).astype(int))
        # Each block is read once and only the pixels of geometries go on; (..., n).
        stored, at = self._gather(chosen)
        rank = np.empty(len(chosen), int)
        rank[np.searchsorted(chosen, at)] = np.arange(len(at))
        lead = self.values.shape[:-2]
        results = []
        for pixels in self.pixels:
            if not len(pixels):
                empty = da.full(lead, np.nan) if lazy else np.full(lead, np.nan)
                zero = np.zeros_like(empty)
                results.append(join([empty, zero, zero], axis=-1) if with_counts else empty)
                continue
            values = stored[..., np.sort(rank[np.searchsorted(chosen, pixels)])]
            result = reduce_axis(values, reducer, values.ndim - 1, np.arange(len(pixels)), context)
            if with_counts:
                valid = (np.isfinite(values) if values.dtype.kind == "f" else values == values).sum(axis=-1)
                result = join([result, np.full_like(valid, len(pixels)), valid], axis=-1)
            results.append(result)
        return join(results, axis=0) if results else np.empty((0, *lead))

    def _gather(self, chosen: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return the values of pixels (flat positions), (..., n), and which pixel each of the n is."""
        rows, columns = np.divmod(chosen, len(self.x))
        if not isinstance(self.values, da.Array):
            return self.values[..., rows, columns], chosen
        parts, at = [], []
        for top, height in _offsets(self.values.chunks[-2]):
            for left, width in _offsets(self.values.chunks[-1]):
                inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)
                if inside.any():
                    block = self.values[..., top : top + height, left : left + width]
                    parts.append(_pick(block, rows[inside] - top, columns[inside] - left))
                    at.append(chosen[inside])
        if not parts:
            return None, chosen
        return _merged(da.concatenate(parts, axis=-1)), np.concatenate(at)

    def _pixels_of(self, shape: Any) -> np.ndarray:
        """Return the flat positions of the pixels that belong to a geometry, ascending."""
        if shape is None or shape.is_empty:
            return np.empty(0, int)
        kind = shapely.get_dimensions(shape)
        if shape.geom_type == "GeometryCollection":
            return np.unique(np.concatenate([self._pixels_of(part) for part in shape.geoms]).astype(int))
        if kind == 0:
            return self._nearest(shapely.get_coordinates(shape))
        west, south, east, north = shape.bounds
        half_y, half_x = _spacing(self.y) / 2, _spacing(self.x) / 2
        rows = np.flatnonzero((self.y >= south - half_y) & (self.y <= north + half_y))
        columns = np.flatnonzero((self.x >= west - half_x) & (self.x <= east + half_x))
        if not len(rows) or not len(columns):
            return np.empty(0, int)
        inside = self._covered(shape, rows, columns) if kind == 2 else self._touched(shape, rows, columns)
        r, c = np.nonzero(inside)
        return np.sort(rows[r] * len(self.x) + columns[c])

    def _covered(self, shape: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        shapely.prepare(shape)
        xs, ys = np.meshgrid(self.x[columns], self.y[rows])
        return np.asarray(shapely.intersects_xy(shape, xs, ys))

    def _touched(self, shape: Any, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        y, x = self.y[rows], self.x[columns]
        dy, dx = np.sign(self.y[-1] - self.y[0] or -1) * _spacing(self.y), _spacing(self.x)
        if len(self.x) > 1 and self.x[-1] < self.x[0]:
            dx = -dx
        place = Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2)
        size = (len(rows), len(columns))
        burnt = rasterio.features.rasterize([shape], size, transform=place, all_touched=True, dtype="uint8")
        return np.asarray(burnt, bool)

    def _nearest(self, points: np.ndarray) -> np.ndarray:
        """Return the closest pixels of points that lie inside of the cube's bounds."""
        found = []
        for px, py in points:
            column, row = int(np.abs(self.x - px).argmin()), int(np.abs(self.y - py).argmin())
            if abs(self.x[column] - px) <= _spacing(self.x) / 2 and abs(self.y[row] - py) <= _spacing(self.y) / 2:
                found.append(row * len(self.x) + column)
        return np.unique(np.asarray(found, int))


def _spacing(centres: np.ndarray) -> float:
    """Return the pixel size; unlimited where a single pixel does not tell it."""
    return abs(float(centres[1] - centres[0])) if len(centres) > 1 else np.inf


def _offsets(chunks: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Yield start and length of each chunk."""
    start = 0
    for length in chunks:
        yield start, length
        start += length


def _pick(block: Any, rows: np.ndarray, columns: np.ndarray) -> Any:
    """Return the pixels of one spatial block, (..., y, x) to (..., n)."""
    return block.map_blocks(
        lambda part: part[..., rows, columns],
        dtype=block.dtype,
        drop_axis=block.ndim - 1,
        chunks=(*block.chunks[:-2], (len(rows),)),
        meta=np.empty((0,) * (block.ndim - 1), block.dtype),
    )


def _merged(pixels: Any) -> Any:
    """Return few pixels of many dates in one chunk per block of pixels: each geometry costs tasks per chunk."""
    limit = 64 * 2**20
    lead = int(np.prod(pixels.shape[:-1]))
    largest = max(pixels.chunks[-1])
    if lead * largest * pixels.dtype.itemsize > limit:
        return pixels
    return pixels.rechunk(dict.fromkeys(range(pixels.ndim - 1), -1))
