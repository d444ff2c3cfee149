"""`load_url`: one file at a URL, as a raster or a vector cube."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from shapely.errors import ShapelyError

from processes.environment import Environment
from processes.errors import OpenEOError, invalid
from processes.fetch import FetchError, FetchRules, WrongFormat
from processes.fetch.gate import Gate
from processes.fetch.rasters import open_raster
from processes.fetch.urls import shown
from processes.sources.stac.cube import Request, stac_cube
from processes.sources.stac.item import Layer, StacItem
from processes.sources.url_netcdf import netcdf_cube
from processes.vectors.geojson import read_geojson
from processes.vectors.inputs import require_vector

_PROCESS = "load_url"
_MOST_ROWS = 1_000_000
# How much larger a table may be in memory than its file may be.
_EXPANDS = 4


@dataclass(frozen=True)
class InputFormat:
    """A format that can be read: what `/file_formats` tells of it, and how a URL becomes a cube."""

    name: str
    title: str
    description: str
    gis_data_types: tuple[str, ...]
    read: Callable[[str, FetchRules], xr.DataArray]


def load_url(url: str, format: str, options: Mapping[str, Any] | None = None, *, env: Environment) -> xr.DataArray:
    """Load a file from the web.

    Parameters
    ----------
    url : str
    format : str
        One of `INPUT_FORMATS`, in upper or lower case.
    options : mapping, optional
        No format has any.
    env : Environment
        Its fetch rules say what may be read.

    Returns
    -------
    xr.DataArray
        A lazy raster cube (GTiff, netCDF), or a vector cube (GeoJSON, Parquet).

    Raises
    ------
    OpenEOError
        FormatUnsuitable, ProcessParameterInvalid.
    """
    form = next((one for one in INPUT_FORMATS if one.name.lower() == str(format).lower()), None)
    if form is None:
        known = ", ".join(one.name for one in INPUT_FORMATS)
        raise invalid("format", _PROCESS, f"{str(format)[:50]!r} cannot be read; possible are {known}")
    if options:
        raise invalid("options", _PROCESS, f"{form.name} has no option {', '.join(options)}; it has none at all")
    try:
        return form.read(url, env.fetch)
    except WrongFormat as error:
        message = f"Data can't be loaded as {form.name} from parameter 'url': {error}. Name another format."
        raise OpenEOError("FormatUnsuitable", message) from error
    except FetchError as error:
        raise invalid("url", _PROCESS, str(error)) from error


def _geojson(url: str, rules: FetchRules) -> xr.DataArray:
    document = Gate(rules).fetch(url)
    try:
        data = json.loads(document.content)
        return read_geojson(data, "url", _PROCESS).cube()
    except (ValueError, RecursionError) as error:
        raise WrongFormat(f"{shown(url)} holds no JSON") from error
    except OpenEOError as error:
        raise WrongFormat(f"{shown(url)} holds no GeoJSON that can be read ({error.message.rstrip('.')})") from error


def _parquet(url: str, rules: FetchRules) -> xr.DataArray:
    """Read a table whose size in memory is known beforehand: a small file can hold a huge one."""
    import geopandas
    import pyarrow

    content = Gate(rules).fetch(url, rules.file_bytes).content
    try:
        _require_small(content, rules)
        frame = geopandas.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, ShapelyError, ValueError, KeyError, TypeError, OSError) as error:
        raise WrongFormat(f"{shown(url)} holds no GeoParquet: {type(error).__name__}") from error
    return require_vector(frame, "url", _PROCESS)


def _require_small(content: bytes, rules: FetchRules) -> None:
    from pyarrow import parquet

    file = parquet.ParquetFile(io.BytesIO(content))
    if file.metadata.num_rows > _MOST_ROWS:
        raise WrongFormat(f"the table has {file.metadata.num_rows} rows; {_MOST_ROWS} at most can be read")
    total = 0
    for batch in file.iter_batches(batch_size=1024):
        total += batch.nbytes
        if total > _EXPANDS * rules.file_bytes:
            raise WrongFormat("the table takes too much memory")


def _gtiff(url: str, rules: FetchRules) -> xr.DataArray:
    """Return the bands of a file, called by their descriptions, else B1, B2, and so on."""
    with open_raster(Gate(rules), url) as dataset:
        if not dataset.crs:
            raise WrongFormat(f"{shown(url)} has no reference system")
        descriptions = [text or "" for text in dataset.descriptions]
        distinct = len(set(descriptions)) == dataset.count and all(descriptions)
        names = descriptions if distinct else [f"B{i + 1}" for i in range(dataset.count)]
        layers = tuple(
            Layer(
                key="file",
                index=i + 1,
                name=name,
                href=url,
                dtype=dataset.dtypes[i],
                crs=dataset.crs.to_wkt(),
                transform=tuple(dataset.transform)[:6],
                shape=dataset.shape,
                resolution=abs(dataset.transform.a),
            )
            for i, name in enumerate(names)
        )
    whole = StacItem("file", np.datetime64("2000-01-01", "ns"), {}, None, layers)
    return stac_cube([whole], {}, Request(), rules, _PROCESS).isel(t=0, drop=True)


# What can be read, in the order in which it is listed.
INPUT_FORMATS = (
    InputFormat(
        "GeoJSON",
        "GeoJSON",
        "A vector cube: one label per feature, properties as coordinates. Longitude and latitude, unless the file has "
        "the member `crs` of the format's former version.",
        ("vector",),
        _geojson,
    ),
    InputFormat(
        "GTiff",
        "GeoTIFF",
        "A raster cube of a GeoTIFF, best a cloud-optimized one, or of a JPEG 2000 file: dimensions bands, y, x. "
        "Values as they are stored, the file's no-data value as no-data. Bands are called by their descriptions.",
        ("raster",),
        _gtiff,
    ),
    InputFormat(
        "netCDF",
        "netCDF-4",
        "A raster cube of a netCDF-4 file after the CF conventions: variables over x and y become bands, scale, offset "
        "and fill values are decoded. A grid mapping must tell the reference system.",
        ("raster",),
        netcdf_cube,
    ),
    InputFormat(
        "Parquet",
        "GeoParquet",
        "A vector cube: one label per row, further columns as coordinates.",
        ("vector",),
        _parquet,
    ),
)
