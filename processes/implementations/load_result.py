"""`load_result`: what a batch job of the user has computed, as a cube for further processing."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from processes.environment import Environment, ResultFiles
from processes.errors import OpenEOError, invalid
from processes.implementations.stored_results import stored_cube
from processes.overrides._area import blank, cropped, inside
from processes.overrides.cubes import band_dimension, band_positions, described_bands
from processes.overrides.filters import between_dates
from processes.sources import parse_bbox, parse_footprint, parse_interval
from processes.sources.extents import plain
from processes.vectors import filter_vector
from processes.vectors.cubes import geometry_dimensions
from processes.vectors.filter import within_box

_PROCESS = "load_result"


def load_result(
    id: str,
    spatial_extent: Any = None,
    temporal_extent: Any = None,
    bands: list[str] | None = None,
    *,
    env: Environment,
) -> xr.DataArray:
    """Load the result of a batch job, read from the server's own disk.

    Parameters
    ----------
    id : str
        The id of a batch job of the user's own that has finished, or the URL of its results; the signed URL of another
        user's results serves as well, for whoever has that may read them.
    spatial_extent : bounding box, GeoJSON, vector cube or None
        Pixels whose centres touch it are loaded; outside of polygons there is no data. Geometries that lie fully
        within it are.
    temporal_extent : array of two dates or date-times, or None
        Half-open; one of the two may be null.
    bands : list of str, optional
        Their order is the cube's.
    env : Environment
        Its `results` are those of the user; its halo widens what is loaded.

    Returns
    -------
    xr.DataArray
        A raster cube (lazy) or a vector cube, with the dimensions and labels that it was saved with.

    Raises
    ------
    OpenEOError
        JobNotFound, JobNotStarted, JobNotFinished, FormatUnsuitable, NoDataAvailable, TemporalExtentEmpty,
        ProcessParameterInvalid.
    """
    return load_stored(_results(id, env), "id", _PROCESS, env, spatial_extent, temporal_extent, bands)


def load_stored(
    results: ResultFiles,
    parameter: str,
    process: str,
    env: Environment,
    spatial_extent: Any = None,
    temporal_extent: Any = None,
    bands: Any = None,
) -> xr.DataArray:
    """Return what was saved, limited to extents and bands; `parameter` of `process` is what names the job."""
    interval = parse_interval(temporal_extent, "temporal_extent", process)
    cube = env.ledger.note(stored_cube(results, env.fetch, parameter, process))
    if interval is not None:
        for name in _dates(cube, process):
            cube = between_dates(cube, name, interval, temporal_extent, env, "temporal_extent", process)
    if spatial_extent is not None:
        cube = _limited(cube, plain(spatial_extent), process, env)
    return cube if bands is None else _chosen(cube, bands, process)


def _results(id: Any, env: Environment) -> ResultFiles:
    if env.results is None:
        raise OpenEOError("JobNotFound", "Results are loaded for the user whose batch job it is: log in first.")
    if not isinstance(id, str) or "://" not in id:
        return env.results.of(str(id))
    found = env.results.at(id)
    if found is None:
        reason = "it is no URL of results of this back-end; load those of others with `load_stac`"
        raise invalid("id", _PROCESS, reason)
    return found


def _dates(cube: xr.DataArray, process: str) -> list[str]:
    """Return the dimensions of dates."""
    found = [str(name) for name in cube.dims if cube[name].dtype.kind == "M"]
    if not found:
        held = ", ".join(map(str, cube.dims)) or "none"
        raise invalid("temporal_extent", process, f"the result has no dimension of dates ({held}); leave it out")
    return found


def _limited(cube: xr.DataArray, extent: Any, process: str, env: Environment) -> xr.DataArray:
    """Return what lies in a bounding box or polygons."""
    is_box = isinstance(extent, dict) and "type" not in extent
    if geometry_dimensions(cube):
        if is_box:
            box = parse_bbox(extent, "spatial_extent", process)
            found = within_box(cube, box, "spatial_extent", process)
        else:
            found = filter_vector(cube, extent, "within")
        if not np.prod(found.shape):
            message = f"No geometry of the result lies fully within 'spatial_extent' of '{process}'; widen it."
            raise OpenEOError("NoDataAvailable", message)
        return found
    margin = 0 if env.halo is None else env.halo.pixels
    if is_box:
        box = parse_bbox(extent, "spatial_extent", process)
        return cropped(cube, box, margin, "spatial_extent", process)
    footprint = parse_footprint(extent, "spatial_extent", process)
    part = cropped(cube, footprint.bbox, margin, "spatial_extent", process)
    return blank(part, inside(part, footprint))


def _chosen(cube: xr.DataArray, bands: Any, process: str) -> xr.DataArray:
    if not isinstance(bands, list | tuple) or not bands or not all(isinstance(name, str) for name in bands):
        raise invalid("bands", process, f"{bands!r} is not an array of at least one band name; null stands for all")
    dimension = band_dimension(cube)
    if dimension is None:
        raise invalid("bands", process, f"the result has no bands ({', '.join(map(str, cube.dims))}); leave it out")
    positions: list[int] = []
    for name in bands:
        found = band_positions(cube, dimension, name)
        if not found:
            reason = f"there is no band '{name}'; the result has {described_bands(cube, dimension)}"
            raise invalid("bands", process, reason)
        positions += found
    return cube.isel({dimension: list(dict.fromkeys(positions))})
