"""Filters: part of a cube by bands, labels, time and space. Nothing is computed but labels and coordinates.

Inside a graph whose embedding looks round each pixel and date, an environment with a halo widens `filter_bbox` and
`filter_temporal` by as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import odc.geo.xr  # noqa: F401  (cubes answer `.odc`)
import pyproj
import rioxarray  # noqa: F401  (and `.rio`, which the sources' mask asks)
import xarray as xr
from numpy.typing import NDArray

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.overrides._dims import require_cube, require_dimension
from processes.overrides._zones import pixels_of
from processes.overrides.aggregate_spatial import geometry_frame
from processes.overrides.cubes import band_coordinate, band_dimension, band_positions, described_bands, labels_of
from processes.sources import Bbox, Footprint, mask_outside, parse_bbox, parse_footprint, parse_instant, parse_interval
from processes.sources.extents import Interval, interval_text, plain, transformed_bounds

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
        times = _times(data, name)
        if not _within(times, interval).any():
            raise _no_dates(times, name, extent)
        data = data.isel({name: _compact(np.flatnonzero(_within(times, _widened(interval, env))))})
    return data


def filter_bbox(data: xr.DataArray, extent: Any, *, env: Environment | None = None) -> xr.DataArray:
    """Keep the pixels whose centres lie in the bounding box, edges included.

    Parameters
    ----------
    data : xr.DataArray
        A raster cube.
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
    margin = 0 if env is None or env.halo is None else env.halo.pixels
    return _cropped(data, box, margin, "extent", "filter_bbox")


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
        cropped = _cropped(data, footprint.bbox, 0, "geometries", "filter_spatial")
        return blank(cropped, inside(cropped, footprint))
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
    shapes = list(frame.geometry if frame.crs is None else frame.geometry.to_crs(str(data.odc.crs)))
    chosen = np.zeros((cube.sizes["y"], cube.sizes["x"]), bool)
    for pixels in pixels_of(cube, shapes):
        chosen.flat[pixels] = True
    rows, columns = (np.flatnonzero(chosen.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        west, south, east, north = frame.total_bounds.tolist()
        crs = "EPSG:4326" if frame.crs is None else frame.crs.to_wkt()
        raise _no_pixels(data, Bbox(west, south, east, north, crs), "geometries", "filter_spatial")
    window = {"y": _span(rows, 0), "x": _span(columns, 0)}
    keep = xr.DataArray(chosen[window["y"], window["x"]], dims=("y", "x"))
    return blank(data.isel(window), keep)


def read_polygons(value: Any, parameter: str, process: str) -> Footprint:
    """Return the area of GeoJSON or a vector cube; collections of geometries are taken apart."""
    value = plain(value)
    if isinstance(value, Mapping) and value.get("type") == "GeometryCollection":
        features = [{"type": "Feature", "geometry": part} for part in value.get("geometries", [])]
        value = {"type": "FeatureCollection", "features": features, "crs": value.get("crs")}
    return parse_footprint(value, parameter, process)


def inside(data: xr.DataArray, footprint: Footprint) -> xr.DataArray:
    """Return the lazy boolean mask (y, x) of pixels whose centres touch the footprint."""
    chunks = [dict(data.chunksizes).get(axis, (data.sizes[axis],)) for axis in ("y", "x")]
    everywhere = da.ones((data.sizes["y"], data.sizes["x"]), chunks=tuple(chunks), dtype=bool)
    grid = {name: data.coords[name] for name in ("y", "x", "spatial_ref") if name in data.coords}
    return mask_outside(xr.DataArray(everywhere, dims=("y", "x"), coords=grid), footprint, nodata=0)


def blank(data: xr.DataArray, keep: xr.DataArray) -> xr.DataArray:
    """Return `data` with NaN where not `keep`; floats keep their type, integers and booleans become floats."""
    return (data.astype(np.float32) if data.dtype == bool else data).where(keep).transpose(*data.dims)


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


def _times(data: xr.DataArray, dimension: str) -> NDArray[np.datetime64]:
    values = data[dimension].to_numpy()
    if values.dtype.kind == "M":
        return values
    try:
        return np.array([parse_instant(value, "data", "filter_temporal") for value in values.tolist()])
    except OpenEOError as error:
        reason = f"the labels of '{dimension}' are no dates ({', '.join(map(str, values[:3]))}, ...)."
        raise invalid("data", "filter_temporal", reason) from error


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


def _no_dates(times: NDArray[np.datetime64], dimension: str, extent: Any) -> OpenEOError:
    span = f"{str(times.min())[:19]} to {str(times.max())[:19]}" if len(times) else "no dates"
    return OpenEOError(
        "NoDataAvailable",
        f"No label of '{dimension}' lies in the extent {interval_text(extent)} of 'filter_temporal': the cube has "
        f"{span}.",
    )


def _cropped(data: xr.DataArray, box: Bbox, margin: int, parameter: str, process: str) -> xr.DataArray:
    """Return the pixels in `box`, and `margin` more on each side."""
    require_cube(data, process)
    if not {"x", "y"} <= set(data.dims):
        message = f"'{process}' needs a cube with x and y; this one has {', '.join(map(str, data.dims)) or 'nothing'}."
        raise OpenEOError("DimensionMissing", message)
    west, south, east, north = _bounds_in(data, box, parameter, process)
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    cols, rows = (np.flatnonzero((v >= low) & (v <= high)) for v, low, high in ((x, west, east), (y, south, north)))
    if not len(cols) or not len(rows):
        raise _no_pixels(data, box, parameter, process)
    return data.isel(y=_span(rows, margin), x=_span(cols, margin))


def _no_pixels(data: xr.DataArray, box: Bbox, parameter: str, process: str) -> OpenEOError:
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    covered = transformed_bounds((x.min(), y.min(), x.max(), y.max()), str(data.odc.crs), box.crs)
    asked, held = ("[" + ", ".join(f"{edge:.9g}" for edge in edges) + "]" for edges in (box.bounds, covered))
    return OpenEOError(
        "NoDataAvailable",
        f"No pixel's centre lies in the area {asked} (west, south, east, north in {box.crs[:40]}) of parameter "
        f"'{parameter}' of '{process}': the cube's pixels have their centres in {held}. Choose an area that meets it.",
    )


def _span(positions: NDArray[np.intp], margin: int) -> slice:
    return slice(max(int(positions[0]) - margin, 0), int(positions[-1]) + 1 + margin)


def _compact(positions: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return consecutive positions as a slice, which leaves chunks alone."""
    consecutive = bool((np.diff(positions) == 1).all())
    return slice(int(positions[0]), int(positions[-1]) + 1) if consecutive else positions


def _bounds_in(data: xr.DataArray, box: Bbox, parameter: str, process: str) -> tuple[float, float, float, float]:
    """Return the bounds of `box` in the cube's CRS.

    A box in another CRS is cut to some hundred kilometres round the cube first: map projections turn far-away
    corners (those of the whole world, say) into nonsense.
    """
    crs = data.odc.crs
    if crs is None:
        raise invalid("data", process, "the cube has no coordinate reference system.")
    ours = str(crs)
    if pyproj.CRS(ours).equals(pyproj.CRS(box.crs), ignore_axis_order=True):
        return box.bounds
    x, y = data["x"].to_numpy(), data["y"].to_numpy()
    near = transformed_bounds((x.min(), y.min(), x.max(), y.max()), ours, box.crs)
    pad = 5.0 if pyproj.CRS(box.crs).is_geographic else 500_000.0
    west, south = max(box.west, near[0] - pad), max(box.south, near[1] - pad)
    east, north = min(box.east, near[2] + pad), min(box.north, near[3] + pad)
    if west > east or south > north:  # far away: whatever this is in the cube's CRS, it holds no pixel
        return (np.inf, np.inf, -np.inf, -np.inf)
    bounds = transformed_bounds((west, south, east, north), box.crs, ours)
    if not np.isfinite(bounds).all():
        raise invalid(parameter, process, f"{box} cannot be transformed to the cube's {ours[:40]}.")
    return bounds
