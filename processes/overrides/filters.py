"""Filters: part of a cube by bands, labels, time and space. Nothing is computed but labels and coordinates.

Inside a graph whose embedding looks round each pixel and date, an environment with a halo widens `filter_bbox` and
`filter_temporal` by as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import xarray as xr
from numpy.typing import NDArray

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.overrides._area import blank, cropped, inside, no_pixels, span
from processes.overrides._dims import require_cube, require_dimension
from processes.overrides._zones import pixels_of
from processes.overrides.aggregate_spatial import geometry_frame, projected
from processes.overrides.cubes import band_coordinate, band_dimension, band_positions, described_bands, labels_of
from processes.sources import Bbox, Footprint, parse_bbox, parse_footprint, parse_instant, parse_interval
from processes.sources.extents import Interval, interval_text, plain
from processes.vectors.cubes import geometry_dimensions
from processes.vectors.filter import within_box

_DAY = np.timedelta64(24 * 3600 * 10**9, "ns")


def filter_bands(
    data: xr.DataArray, bands: Sequence[str] = (), wavelengths: Sequence[Sequence[float]] = ()
) -> xr.DataArray:
    """Drop the bands that don't match any of the criteria; the rest is in the order of the criteria.

    Parameters
    ----------
    data : xr.DataArray
        A cube with bands.
    bands : list of str
        Names, or common names where the cube has them as a coordinate along the bands.
    wavelengths : list of [float, float]
        Ranges in micrometers, where the cube has the wavelengths as a coordinate along the bands.

    Raises
    ------
    OpenEOError
        BandFilterParameterMissing, DimensionMissing, LabelNotAvailable (lists the bands that there are).
    """
    require_cube(data, "filter_bands")
    dimension = band_dimension(data)
    if dimension is None:
        message = f"A band dimension is missing: 'filter_bands' got a cube with {', '.join(map(str, data.dims))}."
        raise OpenEOError("DimensionMissing", message)
    if not bands and not wavelengths:
        message = "The process `filter_bands` requires any of the parameters `bands` or `wavelengths` to be set."
        raise OpenEOError("BandFilterParameterMissing", message)
    positions = [i for name in bands or () for i in _named_bands(data, dimension, name)]
    positions += [i for limits in wavelengths or () for i in _bands_within(data, dimension, limits)]
    return data.isel({dimension: list(dict.fromkeys(positions))})


def filter_labels(
    data: xr.DataArray, condition: Callable[..., Any], dimension: str, context: Any = None
) -> xr.DataArray:
    """Keep the labels of the dimension for which `condition` returns true; dates are passed as text (RFC 3339)."""
    require_dimension(data, dimension, "filter_labels")
    asked = {"positional_parameters": {"value": 0}, "named_parameters": {"context": context}}
    kept = [i for i, label in enumerate(labels_of(data, dimension)) if _is_true(condition(label, **asked))]
    return data.isel({dimension: kept})


def filter_temporal(
    data: xr.DataArray, extent: Any, dimension: str | None = None, *, env: Environment | None = None
) -> xr.DataArray:
    """Limit the cube to a left-closed interval of dates and/or times.

    Parameters
    ----------
    data : xr.DataArray
    extent : list of two dates or date-times
        The second, which is excluded, must be later than the first; one of the two may be null.
    dimension : str, optional
        The temporal dimension; all of them by default.
    env : Environment, optional
        Its halo's days widen the interval on each side.

    Raises
    ------
    OpenEOError
        DimensionNotAvailable, TemporalExtentEmpty, NoDataAvailable when no label lies inside.
    """
    interval = parse_interval(extent, "extent", "filter_temporal")
    if interval is None:
        raise invalid("extent", "filter_temporal", "it must be an array of two elements, start and end.")
    for name in _temporal_dimensions(data, dimension):
        data = between_dates(data, name, interval, extent, env)
    return data


def between_dates(
    data: xr.DataArray,
    dimension: str,
    interval: Interval,
    extent: Any,
    env: Environment | None = None,
    parameter: str = "extent",
    process: str = "filter_temporal",
) -> xr.DataArray:
    """Return the labels of a dimension of dates that lie in `interval`, and the halo's on each side.

    `extent` is how the client wrote the interval; NoDataAvailable when no label lies inside.
    """
    times = _times(data, dimension, process)
    if not _within(times, interval).any():
        raise _no_dates(times, dimension, extent, parameter, process)
    return data.isel({dimension: _compact(np.flatnonzero(_within(times, _widened(interval, env))))})


def filter_bbox(data: Any, extent: Any, *, env: Environment | None = None) -> xr.DataArray:
    """Keep the pixels whose centres lie in the bounding box, edges included; of geometries those fully within it.

    Parameters
    ----------
    data : xr.DataArray
        A raster or a vector cube.
    extent : bounding box
        In any CRS: it is the box round the given one in the cube's CRS that counts.
    env : Environment, optional
        Its halo's pixels widen the result on each side, as far as the cube reaches.

    Raises
    ------
    OpenEOError
        DimensionMissing, ProcessParameterInvalid, NoDataAvailable when no pixel's centre lies inside.
    """
    box = parse_bbox(extent, "extent", "filter_bbox")
    if isinstance(data, xr.DataArray) and geometry_dimensions(data):
        return within_box(data, box, "extent", "filter_bbox")
    margin = 0 if env is None or env.halo is None else env.halo.pixels
    return cropped(data, box, margin, "extent", "filter_bbox")


def filter_spatial(data: xr.DataArray, geometries: Any) -> xr.DataArray:
    """Limit the cube to geometries: cropped to their pixels' bounding box, no data for the other pixels in it.

    Of polygons these are the pixels whose centres touch one; "for points, the closest pixel center; for lines, all the
    pixels whose centers are closest to at least one point on the line".

    Parameters
    ----------
    data : xr.DataArray
        A raster cube.
    geometries : GeoJSON or vector cube
        Geometries, Feature, FeatureCollection or GeometryCollection.

    Raises
    ------
    OpenEOError
        NoDataAvailable when no pixel's centre lies inside the bounding box.
    """
    frame = None if _only_polygons(geometries) else _parts(geometries)
    if frame is None or frame.geom_type.isin(["Polygon", "MultiPolygon"]).all():
        footprint = read_polygons(geometries, "geometries", "filter_spatial")
        part = cropped(data, footprint.bbox, 0, "geometries", "filter_spatial")
        return blank(part, inside(part, footprint))
    return _filtered_by_shapes(data, frame)


def _only_polygons(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("type") in ("Polygon", "MultiPolygon")


def _parts(value: Any) -> Any:
    """Return geometries as a GeoDataFrame, collections taken apart."""
    frame = geometry_frame(value, "filter_spatial").explode(index_parts=False)
    return frame[~frame.geometry.is_empty]


def _filtered_by_shapes(data: xr.DataArray, frame: Any) -> xr.DataArray:
    """Filter by points and lines, and perhaps polygons: few pixels each, which are found at once."""
    cube = require_cube(data, "filter_spatial").transpose(..., "y", "x")
    if data.odc.crs is None:
        raise invalid("data", "filter_spatial", "the cube has no coordinate reference system.")
    chosen = np.zeros((cube.sizes["y"], cube.sizes["x"]), bool)
    for pixels in pixels_of(cube, projected(frame, data)):
        chosen.flat[pixels] = True
    rows, columns = (np.flatnonzero(chosen.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        west, south, east, north = frame.total_bounds.tolist()
        crs = "EPSG:4326" if frame.crs is None else frame.crs.to_wkt()
        raise no_pixels(data, Bbox(west, south, east, north, crs), "geometries", "filter_spatial")
    window = {"y": span(rows, 0), "x": span(columns, 0)}
    keep = xr.DataArray(chosen[window["y"], window["x"]], dims=("y", "x"))
    return blank(data.isel(window), keep)


def read_polygons(value: Any, parameter: str, process: str) -> Footprint:
    """Return the area of GeoJSON or a vector cube; collections of geometries are taken apart."""
    value = plain(value)
    if isinstance(value, Mapping) and value.get("type") == "GeometryCollection":
        features = [{"type": "Feature", "geometry": part} for part in value.get("geometries", [])]
        value = {"type": "FeatureCollection", "features": features, "crs": value.get("crs")}
    return parse_footprint(value, parameter, process)


def _named_bands(data: xr.DataArray, dimension: str, name: str) -> list[int]:
    found = band_positions(data, dimension, name)
    if not found:
        there = described_bands(data, dimension)
        message = f"There is no band '{name}' (parameter 'bands' of 'filter_bands'); the cube has {there}."
        raise OpenEOError("LabelNotAvailable", message)
    return found


def _bands_within(data: xr.DataArray, dimension: str, limits: Sequence[float]) -> list[int]:
    if len(limits) != 2 or limits[0] > limits[1]:
        raise invalid("wavelengths", "filter_bands", f"{limits!r} is not a pair of minimum and maximum wavelength.")
    values = band_coordinate(data, dimension, "center_wavelength")
    if values is None:
        raise invalid("wavelengths", "filter_bands", "the cube does not know its bands' wavelengths; pass 'bands'.")
    return [int(i) for i in np.flatnonzero((values >= limits[0]) & (values <= limits[1]))]


def _is_true(answer: Any) -> bool:
    return answer is not None and bool(answer)


def _temporal_dimensions(data: xr.DataArray, dimension: str | None) -> list[str]:
    if dimension is not None:
        require_dimension(data, dimension, "filter_temporal")
        return [dimension]
    require_cube(data, "filter_temporal")
    found = [str(d) for d in data.dims if data[d].dtype.kind == "M"] or [d for d in ("t",) if d in data.dims]
    if not found:
        message = f"'filter_temporal' got a cube without a temporal dimension: {', '.join(map(str, data.dims))}."
        raise OpenEOError("DimensionNotAvailable", message)
    return found


def _times(data: xr.DataArray, dimension: str, process: str) -> NDArray[np.datetime64]:
    values = data[dimension].to_numpy()
    if values.dtype.kind == "M":
        return values
    try:
        return np.array([parse_instant(value, "data", process) for value in values.tolist()])
    except OpenEOError as error:
        reason = f"the labels of '{dimension}' are no dates ({', '.join(map(str, values[:3]))}, ...)."
        raise invalid("data", process, reason) from error


def _within(times: NDArray[np.datetime64], interval: Interval) -> NDArray[np.bool_]:
    start, end = interval
    inside = np.ones(len(times), bool)
    if start is not None:
        inside &= times >= start
    if end is not None:
        inside &= times < end
    return inside


def _widened(interval: Interval, env: Environment | None) -> Interval:
    if env is None or env.halo is None:
        return interval
    start, end = interval
    days = np.timedelta64(round(env.halo.days * 86400 * 10**9), "ns")
    return (None if start is None else start - days, None if end is None else end + days)


def _no_dates(times: NDArray[np.datetime64], dimension: str, extent: Any, parameter: str, process: str) -> OpenEOError:
    held = f"{str(times.min())[:19]} to {str(times.max())[:19]}" if len(times) else "no dates"
    return OpenEOError(
        "NoDataAvailable",
        f"No label of '{dimension}' lies in the {parameter} {interval_text(extent)} of '{process}': the cube has "
        f"{held}.",
    )


def _compact(positions: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return consecutive positions as a slice, which leaves chunks alone."""
    consecutive = bool((np.diff(positions) == 1).all())
    return slice(int(positions[0]), int(positions[-1]) + 1) if consecutive else positions
