"""`load_uploaded_files`: files of the user's own folder, as one raster or vector cube."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.implementations.input_formats import find_input_format, read_file
from processes.implementations.local_files import LocalFiles
from processes.sources.origin import Origin
from processes.vectors.cubes import GEOMETRY, crs_of, make_cube

_PROCESS = "load_uploaded_files"
_MOST_FILES = 500
# A date in a file's name, 2024-05-31 or 20240531, not within a longer number; perhaps a time, T103000.
_DATE = re.compile(r"(?<!\d)(\d{4})(-?)(\d\d)\2(\d\d)(?!\d)(?:T(\d\d)(\d\d)(\d\d)(?!\d))?")


def load_uploaded_files(
    paths: Sequence[str], format: str, options: Mapping[str, Any] | None = None, *, env: Environment
) -> xr.DataArray:
    """Load files that the user has uploaded.

    Parameters
    ----------
    paths : sequence of str
        At least one, all of one format. Several rasters must have the same grid and bands; they are put along t, by
        the dates in netCDF files, else by those in the files' names. Several vector files follow one another.
    format : str
        One of `INPUT_FORMATS`, in upper or lower case.
    options : mapping, optional
        No format has any.
    env : Environment
        Its `files` are those of the user; its fetch rules say how large files may be that are read as a whole.

    Returns
    -------
    xr.DataArray
        A lazy raster cube (GTiff, netCDF), or a vector cube (GeoJSON, Parquet).

    Raises
    ------
    OpenEOError
        FileNotFound, FormatUnsuitable, ProcessParameterInvalid.
    """
    form = find_input_format(format, options, _PROCESS)
    names = _names(paths)
    if env.files is None:
        raise OpenEOError("FileNotFound", "Files are loaded for the user who uploaded them: log in first.")
    files = LocalFiles(env.files)
    if "vector" in form.gis_data_types:
        _require_small(files, names, env.fetch.file_bytes)
    origin = Origin(files, env.fetch, "paths", _PROCESS)
    cubes = {name: read_file(form, name, origin) for name in names}
    if len(cubes) == 1:
        return env.ledger.note(cubes[names[0]])
    return env.ledger.note(_features(cubes) if "vector" in form.gis_data_types else _dates(cubes))


def _names(paths: Any) -> list[str]:
    if not isinstance(paths, list | tuple) or not paths or not all(isinstance(path, str) for path in paths):
        raise invalid("paths", _PROCESS, "it must be an array of at least one path of a file")
    if len(paths) > _MOST_FILES:
        raise invalid("paths", _PROCESS, f"it has {len(paths)} paths; {_MOST_FILES} at most can be loaded at once")
    twice = next((path for i, path in enumerate(paths) if path in paths[:i]), None)
    if twice is not None:
        raise invalid("paths", _PROCESS, f"'{twice}' is listed twice")
    return list(paths)


def _require_small(files: LocalFiles, names: Sequence[str], limit: int) -> None:
    """Refuse vector files that are too large together: they are read as a whole, while the graph is built."""
    total = 0
    for name in names:
        with files.open(name) as file:
            total += file.seek(0, io.SEEK_END)
    if total > limit:
        raise invalid("paths", _PROCESS, f"the files have {total} bytes together; vector files may have {limit}")


def _features(cubes: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Return the features of all files, one file after another; what a file does not tell of its features is empty."""
    (first, model), *_ = cubes.items()
    crs = crs_of(model, GEOMETRY)
    for name, cube in cubes.items():
        if not crs_of(cube, GEOMETRY).equals(crs, ignore_axis_order=True):
            raise _differ(first, name, "reference systems", "convert one of them before it is uploaded")
    columns = {str(key): None for cube in cubes.values() for key in cube.coords if key != GEOMETRY}
    properties = {key: [value for cube in cubes.values() for value in _column(cube, key)] for key in columns}
    shapes = [shape for cube in cubes.values() for shape in cube[GEOMETRY].to_numpy()]
    return make_cube(shapes, crs, properties)


def _column(cube: xr.DataArray, key: str) -> list[Any]:
    if key not in cube.coords:
        return [None] * cube.sizes[GEOMETRY]
    return [None if value != value else value for value in cube[key].to_numpy().tolist()]


def _dates(cubes: Mapping[str, xr.DataArray]) -> xr.DataArray:
    """Return rasters of one grid as one cube, in the order of their dates."""
    (first, model), *others = cubes.items()
    for name, cube in others:
        _require_alike(first, model, name, cube)
    dated = [_dated(name, cube) for name, cube in cubes.items()]
    dated.sort(key=lambda cube: cube["t"].to_numpy().tolist()[:1])
    whole: xr.DataArray = xr.concat(
        dated, dim="t", join="override", coords="minimal", compat="override", combine_attrs="override"
    )
    times = whole.indexes["t"]
    if times.has_duplicates:
        date = str(times[times.duplicated()][0])[:19]
        remedy = "Load them one by one and join them with `merge_cubes`."
        raise invalid("paths", _PROCESS, f"several files have the date {date}. {remedy}")
    return whole if times.is_monotonic_increasing else whole.sortby("t")


def _dated(name: str, cube: xr.DataArray) -> xr.DataArray:
    """Return a cube with dates: its own, else that in the name of its file."""
    if "t" in cube.dims:
        if "t" not in cube.coords or cube["t"].dtype.kind != "M":
            raise invalid(
                "paths", _PROCESS, f"'{name}' has a dimension of time without dates, so it is loaded alone only"
            )
        return cube
    date = _date(name.rpartition("/")[2])
    if date is None:
        reason = f"several rasters are put along t, but '{name}' has no date, nor has its name one such as 2024-05-31"
        raise invalid("paths", _PROCESS, f"{reason}. Rename it, or load the files one by one and use `merge_cubes`")
    return cube.expand_dims(t=np.array([date], "datetime64[ns]"))


def _date(name: str) -> np.datetime64 | None:
    for found in _DATE.finditer(name):
        year, _, month, day, *clock = found.groups()
        try:
            return np.datetime64(f"{year}-{month}-{day}T{':'.join(part or '00' for part in clock)}", "ns")
        except ValueError:  # eight digits that are no date
            continue
    return None


def _require_alike(first: str, model: xr.DataArray, name: str, cube: xr.DataArray) -> None:
    """Refuse rasters that only resampling could put into one cube; the message says what differs."""
    dims, theirs = ([str(dim) for dim in one.dims if dim != "t"] for one in (model, cube))
    if dims != theirs:
        raise _differ(first, name, f"dimensions ({', '.join(dims)}; {', '.join(theirs)})")
    if model.odc.crs != cube.odc.crs:
        raise _differ(first, name, "reference systems", "load them one by one and use `resample_cube_spatial`")
    for dim in dims:
        if cube.sizes[dim] != model.sizes[dim]:
            raise _differ(first, name, f"lengths of {dim} ({model.sizes[dim]}; {cube.sizes[dim]})")
        if not _same(model, cube, dim):
            raise _differ(first, name, f"labels of {dim} ({_span(model, dim)}; {_span(cube, dim)})")


def _same(one: xr.DataArray, other: xr.DataArray, dim: str) -> bool:
    """Whether labels are the same; coordinates may differ by a thousandth of a pixel, as rounding leaves them."""
    if dim not in one.coords or dim not in other.coords:
        return (dim in one.coords) == (dim in other.coords)
    left, right = one[dim].to_numpy(), other[dim].to_numpy()
    if dim in ("x", "y") and len(left) > 1:
        return bool(np.all(np.abs(left - right) <= 1e-3 * abs(left[1] - left[0])))
    return bool(np.array_equal(left, right))


def _span(cube: xr.DataArray, dim: str) -> str:
    labels = cube[dim].to_numpy().tolist() if dim in cube.coords else ["none"]
    return f"{labels[0]} to {labels[-1]}" if len(labels) > 5 else ", ".join(map(str, labels))


def _differ(
    first: str, name: str, what: str, remedy: str = "load them one by one and use `merge_cubes`"
) -> OpenEOError:
    return invalid("paths", _PROCESS, f"'{first}' and '{name}' differ in their {what}; {remedy}")
